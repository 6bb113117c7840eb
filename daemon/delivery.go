package daemon

import (
	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/mimetree"
	"github.com/postrider-mta/postrider/mta/delivery"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/queue"
)

func (d *daemon) startDelivery(c *config.Config) error {
	renderer, err := newRenderer(d.accounts, d.tokens, d.logger, d.metrics)
	if err != nil {
		return err
	}
	floor, err := mail.ParseTLSFloor(c.Delivery.TLS)
	if err != nil {
		return err
	}
	d.engine, err = delivery.New(delivery.Options{
		Store: d.store, Router: d.router, Shaper: d.shaper,
		Gate: &gate{d.suppress}, Renderer: renderer, Signer: d.signer,
		Encode7Bit: mimetree.Encode7Bit,
		Retry: queue.RetryPolicy{
			First: c.Queue.RetryFirst, Factor: c.Queue.RetryFactor, Max: c.Queue.RetryMax, Jitter: c.Queue.RetryJitter,
		},
		LocalName: c.Delivery.EHLOName, LocalIPv4: c.Delivery.SourceIPv4, LocalIPv6: c.Delivery.SourceIPv6,
		TLS: floor, Weight: d.accounts.weight,
		Timeouts:       smtpclient.Timeouts(c.Delivery.Timeouts),
		MaxRecipients:  c.Delivery.RecipientsPerTransaction,
		IdleTimeout:    c.Delivery.IdleTimeout,
		MaxInFlight:    c.Delivery.ReadyRecipients,
		MaxConnections: c.Delivery.Connections,
		Drain:          c.Delivery.DrainTimeout,
		Logger:         d.logger,
		Metrics:        d.metrics,
	})
	if err != nil {
		return err
	}
	d.background("delivery", c.Delivery.DrainTimeout, d.engine.Run)
	return nil
}

func newRouter(c *config.Config) (*route.Router, error) {
	options := route.Options{
		Resolver: c.Delivery.Resolvers, Port: uint16(c.Delivery.Port), AllowLoopback: c.Delivery.AllowLoopback,
	}
	switch {
	case !c.Delivery.IPv6:
		options.Family = route.OnlyIPv4
	case !c.Delivery.IPv4:
		options.Family = route.OnlyIPv6
	}
	for _, r := range c.Routes {
		static, err := newStatic(r)
		if err != nil {
			return nil, err
		}
		options.Static = append(options.Static, static)
	}
	return route.New(options)
}

func newStatic(r config.Route) (route.Static, error) {
	static := route.Static{Match: r.Match, Hosts: r.Via}
	floor, err := mail.ParseTLSFloor(r.TLS)
	if err != nil {
		return static, err
	}
	static.Relay = route.Relay{Username: r.Username, TLS: floor, ImplicitTLS: r.ImplicitTLS}
	if r.PasswordFile != "" {
		password, err := r.PasswordFile.Read()
		if err != nil {
			return static, err
		}
		static.Relay.Password = password.Reveal()
	}
	return static, nil
}

// limits are those of [delivery] and [[site]].
func limits(c *config.Config) shape.Options {
	options := shape.Options{
		Default: shape.Limits{
			Connections:           c.Delivery.ConnectionsPerSite,
			MessagesPerConnection: c.Delivery.MessagesPerConnection,
			Rate:                  shape.Rate(c.Delivery.Rate),
		},
		Sites: map[string]shape.Limits{},
	}
	for _, s := range c.Sites {
		options.Sites[s.Match] = shape.Limits{
			Connections: s.Connections, MessagesPerConnection: s.MessagesPerConnection, Rate: shape.Rate(s.Rate),
		}
	}
	return options
}

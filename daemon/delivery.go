package daemon

import (
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/mimetree"
	"github.com/postrider-mta/postrider/mta/bounce/verp"
	"github.com/postrider-mta/postrider/mta/delivery"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/route/sts"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/queue"
)

func (d *daemon) startDelivery(c *config.Config) error {
	renderer, err := newRenderer(d.accounts, d.tokens, d.logger, d.metrics)
	if err != nil {
		return err
	}
	notices, err := d.notices(c)
	if err != nil {
		return err
	}
	renderer.domains = d.domains
	returning := &returning{
		Renderer: renderer, accounts: d.accounts, codec: verp.New(returnKeys{d.tokens}), sender: d.feedbackSender,
		logger: d.logger, failures: renderer.failures,
	}
	renderer.unsubscribeAddress = returning.unsubscribeAddress
	renderer.readers = d.consents
	d.engine, err = delivery.New(delivery.Options{
		Store: d.store, Router: d.router, Shaper: d.shaper,
		Gate: &gate{d.suppress}, Renderer: returning, Signer: d.signer, Notifier: notices,
		Encode7Bit: mimetree.Encode7Bit, Classifier: d.classifier,
		Retry: queue.RetryPolicy{
			First: c.Queue.RetryFirst, Factor: c.Queue.RetryFactor, Max: c.Queue.RetryMax, Jitter: c.Queue.RetryJitter,
		},
		Sources: d.sources, Proxies: d.proxies.dial, Divert: d.diversions.pool,
		Demand: d.demand, Observe: d.observe, Weight: d.accounts.weight,
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

// policiesFile keeps the policies of MTA-STS over restarts.
const policiesFile = "mta-sts.json"

func newRouter(c *config.Config, providers *shape.Providers, logger *slog.Logger) (*route.Router, error) {
	options := route.Options{
		Resolver: c.Delivery.Resolvers, Port: uint16(c.Delivery.Port),
		AllowLoopback: c.Delivery.AllowLoopback, AllowPrivate: c.Delivery.AllowPrivate,
		Provider: providers.Site,
		Policies: route.Policies{
			DANE: true, TrustResolver: c.Delivery.TrustResolver,
			STS: true, STSStore: sts.FileStore{Path: filepath.Join(c.DataDir, policiesFile)},
			Logger: logger,
		},
	}
	if err := own(c, &options); err != nil {
		return nil, err
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

// own says where and under which names this host takes mail itself.
func own(c *config.Config, o *route.Options) error {
	name, err := mail.ParseDomain(c.Hostname)
	if err != nil {
		return err
	}
	o.OwnNames = []mail.Domain{name}
	var listeners []netip.AddrPort
	for _, l := range c.Listeners {
		network, address := config.Network(l.Address)
		if network != "tcp" {
			continue
		}
		if strings.HasPrefix(address, ":") {
			address = "[::]" + address
		}
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("listener %s: %w", l.Name, err)
		}
		listeners = append(listeners, at)
	}
	o.Own, err = route.OwnAddrs(listeners)
	return err
}

// demand is what a queue asks of TLS: the stronger of its stream's floor and
// its destination's. What is not known any more asks for the default.
func (d *daemon) demand(key queue.Key) route.Demand {
	c := d.config.Load()
	floor, _ := mail.ParseTLSFloor(c.Delivery.TLS) // checked when it was read
	t, _ := d.accounts.Tenant(key.Tenant)
	if s, known := t.Streams[key.Stream]; known {
		floor = s.TLS
	}
	for domain := string(key.Domain); domain != ""; _, domain, _ = strings.Cut(domain, ".") {
		i := slices.IndexFunc(c.TLSFloors, func(f config.TLSFloor) bool { return f.Match == domain })
		if i < 0 {
			continue
		}
		if at, _ := mail.ParseTLSFloor(c.TLSFloors[i].Floor); at > floor {
			floor = at
		}
		break
	}
	return route.Demand{Floor: floor}
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

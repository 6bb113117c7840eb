package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/mta/submission"
)

// clientGrace is what clients may take at a stop to end their transactions.
const clientGrace = 8 * time.Second

func (d *daemon) startSubmission(c *config.Config) error {
	options := submission.Options{
		Hostname: c.Hostname, Store: d.store, Accounts: d.accounts, Limits: submissionLimits(c),
		MaxAge: c.Queue.MaxAge, Suppressed: d.suppressed, Aligned: d.signer.aligns, Logger: d.logger, Metrics: d.metrics,
	}
	for _, l := range c.Listeners {
		listener, err := d.listener(l)
		if err != nil {
			return err
		}
		options.Listeners = append(options.Listeners, listener)
	}
	server, err := submission.New(options)
	if err != nil {
		return err
	}
	if err := server.Listen(); err != nil {
		return err
	}
	for i, address := range server.Addresses() {
		d.logger.Info("listening", "listener", c.Listeners[i].Name, "address", address.String(), "tls", c.Listeners[i].TLS)
	}
	d.submission = server
	d.runSMTP("submission", server)
	return nil
}

// smtpServer takes mail, of whatever kind.
type smtpServer interface {
	Serve(ctx context.Context) error
	Shutdown(ctx context.Context) error
}

func (d *daemon) runSMTP(name string, server smtpServer) {
	d.run(part{
		name: name,
		serve: func() error {
			// It may be asked to stop before it comes here.
			if err := server.Serve(context.Background()); !errors.Is(err, submission.ErrClosed) {
				return err
			}
			return nil
		},
		stop: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, clientGrace)
			defer cancel()
			if err := server.Shutdown(ctx); err != nil {
				// Clients hand in again what was not acknowledged.
				d.logger.Warn("taking mail was cut short", "of", name, "error", err)
			}
			return nil
		},
	})
}

func (d *daemon) listener(l config.Listener) (submission.Listener, error) {
	modes := map[string]submission.TLSMode{
		"none": submission.TLSNone, "starttls": submission.TLSStart, "implicit": submission.TLSImplicit,
	}
	mode, ok := modes[l.TLS]
	if !ok {
		return submission.Listener{}, fmt.Errorf("listener %s: tls %q", l.Name, l.TLS)
	}
	listener := submission.Listener{
		Name: l.Name, Address: l.Address, Mode: l.SocketMode, TLS: mode,
		TrustedNetworks: l.TrustedNetworks, Tenant: trustedTenant(&l), AnyFrom: l.AnyFrom, ProxyNetworks: l.ProxyNetworks,
	}
	if mode != submission.TLSNone {
		listener.TLSConfig = d.keys.server(l.Name)
	}
	return listener, nil
}

// trustedTenant is whose mail a listener takes without a password; empty where
// it takes none.
func trustedTenant(l *config.Listener) string {
	if l.Unix() || len(l.TrustedNetworks) > 0 {
		return l.Tenant
	}
	return ""
}

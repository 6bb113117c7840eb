package daemon

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin"
	"github.com/postrider-mta/postrider/daemon/config"
)

func (d *daemon) startAdmin(c *config.Config) error {
	server := admin.New(admin.Options{
		Store: releasing{d.store, d.rates}, Events: d.events, Privacy: d.holders, Delivery: explainer{d}, Suppressions: &suppressions{d.suppress, d.store.Record, d.accounts.has},
		Consents: &consentDesk{d.consents, d.accounts.has}, Statistics: statistician{d}, Rates: rateTeller{d}, TrackingDomains: d.trackingDomains, Send: d.send, Reload: d.reload,
		Ready:    func() error { return d.store.Stats().Fault },
		Gatherer: d.metrics, Version: d.options.Version, Started: d.started, Logger: d.logger,
	})
	socket, err := listenUnix(c.Admin.Socket, ownSocket)
	if err != nil {
		return err
	}
	// Work and streams take as long as they take, and whoever is here is the
	// operator: nothing but the header is timed.
	d.serveHTTP("admin socket", socket, &http.Server{Handler: server.Control(), ReadHeaderTimeout: 10 * time.Second})
	if c.Admin.HTTP == "" {
		return nil
	}
	listener, err := listen(c.Admin.HTTP, sharedSocket)
	if err != nil {
		return err
	}
	d.logger.Info("metrics and health", "address", listener.Addr().String())
	d.serveHTTP("admin http", listener, &http.Server{
		Handler: server.Health(), ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute,
	})
	return nil
}

// Who may open a unix socket: the daemon's user alone, or its group too, for
// the programs of this host that stand in front of the daemon.
const (
	ownSocket    fs.FileMode = 0o600
	sharedSocket fs.FileMode = 0o660
)

// httpGrace is what requests may take at a stop.
const httpGrace = 5 * time.Second

// serveHTTP serves until its cleanup, which ends streams, as they would not
// end by themselves, lets other requests finish, and then cuts off whoever
// does not read.
func (d *daemon) serveHTTP(name string, listener net.Listener, server *http.Server) {
	base, endStreams := context.WithCancel(context.Background())
	server.BaseContext = func(net.Listener) context.Context { return base }
	server.IdleTimeout, server.MaxHeaderBytes = time.Minute, 16<<10
	if server.ErrorLog == nil {
		server.ErrorLog = slog.NewLogLogger(d.logger.Handler(), slog.LevelWarn)
	}
	serve := func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
	stop := func(ctx context.Context) error {
		endStreams()
		ctx, cancel := context.WithTimeout(ctx, httpGrace)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			d.logger.Warn("requests were cut short", "part", name, "error", err)
			return server.Close()
		}
		return nil
	}
	d.run(part{name: name, serve: serve, stop: stop})
}

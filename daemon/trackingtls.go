package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/certificate"
)

// acmeFolder keeps what the authority issued, below the data folder.
const acmeFolder = "acme"

// trackerTLS is how the tracker speaks: with TLS, unless it is nil, and what a
// plain listener beside it answers.
type trackerTLS struct {
	config *tls.Config
	plain  func() http.Handler
}

// newTrackerTLS has the certificates from where the configuration of the start
// says.
func (d *daemon) newTrackerTLS(c *config.Config) (trackerTLS, error) {
	switch c.Tracking.TLS {
	case "none":
		return trackerTLS{}, nil
	case "files":
		return trackerTLS{d.trackingFiles.TLSConfig(), d.trackingHosts.Redirect}, nil
	case "acme":
		transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}
		d.cleanups.add("ACME connections", func(context.Context) error {
			transport.CloseIdleConnections()
			return nil
		})
		authority, err := certificate.NewACME(certificate.ACMEOptions{
			Hosts: &d.trackingHosts, Folder: filepath.Join(c.DataDir, acmeFolder),
			Directory: c.Tracking.ACME.Directory, Email: c.Tracking.ACME.Email, TermsAccepted: c.Tracking.ACME.TermsAccepted,
			UserAgent: "postrider/" + d.options.Version, Transport: transport, Logger: d.logger, Registerer: d.metrics,
		})
		if err != nil {
			return trackerTLS{}, err
		}
		return trackerTLS{authority.TLSConfig(), authority.Plain}, nil
	}
	return trackerTLS{}, fmt.Errorf("tls %q", c.Tracking.TLS)
}

// startPlainTracker answers in plain HTTP what leads to TLS.
func (d *daemon) startPlainTracker(c *config.Config, t *tracking.Tracker, plain func() http.Handler) error {
	if c.Tracking.HTTPListen == "" || plain == nil {
		return nil
	}
	listener, err := listen(c.Tracking.HTTPListen, sharedSocket)
	if err != nil {
		return err
	}
	d.logger.Info("tracker listening for plain HTTP", "address", listener.Addr().String())
	d.serveHTTP("plain tracker", t.Limit(listener), &http.Server{
		Handler: plain(), ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, ErrorLog: t.ErrorLog(),
	})
	return nil
}

// loadTrackingCertificates reads the files of the tracker's certificates; nil
// where there are none.
func loadTrackingCertificates(c *config.Config) (*certificate.Set, error) {
	if len(c.Tracking.Certificates) == 0 {
		return nil, nil
	}
	var pairs []certificate.Pair
	for _, p := range c.Tracking.Certificates {
		pairs = append(pairs, certificate.Pair{Certificate: p.Certificate, Key: string(p.Key)})
	}
	set, err := certificate.Load(pairs)
	if err != nil {
		return nil, fmt.Errorf("tracking: %w", err)
	}
	return set, nil
}

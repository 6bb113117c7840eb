package certificate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// requestTimeout bounds one request to the authority.
const requestTimeout = time.Minute

// ACMEOptions of an ACME. Hosts, Folder, Directory and TermsAccepted are
// required.
type ACMEOptions struct {
	// Hosts are those that certificates may be had for.
	Hosts *Hosts
	// Folder keeps what was issued, and the keys.
	Folder string
	// Directory is the URL at which the authority begins.
	Directory string
	// Email is whom the authority may write to.
	Email string
	// TermsAccepted agrees to its terms of service.
	TermsAccepted bool
	// RenewBefore the end; zero for a third of the lifetime, at most 30 days.
	RenewBefore time.Duration
	UserAgent   string
	// Transport reaches the authority; nil for http.DefaultTransport.
	Transport http.RoundTripper
	// Logger is slog.Default when nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
}

// ErrOptions is wrapped by the errors of NewACME.
var ErrOptions = errors.New("invalid ACME options")

// ACME shows certificates that an authority issues when a host is first asked
// for, and renews them in the background. Failures are counted, and logged a
// few times an hour at most.
type ACME struct {
	hosts   *Hosts
	manager *autocert.Manager
	orders  *orders
	metrics *metrics
	logger  *slog.Logger
}

// NewACME asks nobody anything yet.
func NewACME(o ACMEOptions) (*ACME, error) {
	if o.Hosts == nil || o.Folder == "" || o.Directory == "" {
		return nil, fmt.Errorf("%w: hosts, folder and directory are required", ErrOptions)
	}
	if !o.TermsAccepted {
		return nil, fmt.Errorf("%w: the terms of service are not accepted", ErrOptions)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	a := &ACME{hosts: o.Hosts, metrics: m, logger: o.Logger}
	kept, err := newFolder(o.Folder, a.issued)
	if err != nil {
		return nil, fmt.Errorf("ACME folder: %w", err)
	}
	saved, err := kept.loadOrders()
	if err != nil {
		return nil, fmt.Errorf("ACME folder: %w", err)
	}
	if a.orders, err = newOrders(saved, kept.saveOrders); err != nil {
		a.logger.Warn("what was known of failed orders is lost", "error", err)
	}
	a.manager = &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: kept, HostPolicy: a.policy, Email: o.Email, RenewBefore: o.RenewBefore,
		Client: &acme.Client{
			DirectoryURL: o.Directory, UserAgent: o.UserAgent,
			HTTPClient: &http.Client{
				Timeout:   requestTimeout,
				Transport: &transport{RoundTripper: o.Transport, hosts: o.Hosts, orders: a.orders, metrics: m},
			},
		},
	}
	return a, nil
}

// policy is asked before a host is ordered, and before a challenge is answered.
func (a *ACME) policy(_ context.Context, host string) error {
	if !a.hosts.issuable(host) {
		return ErrUnknownHost
	}
	return nil
}

// issued is called for each certificate, the renewed ones too.
func (a *ACME) issued(host string) {
	if err := a.orders.done(host, time.Now()); err != nil {
		a.logger.Warn("orders for certificates were not saved", "error", err)
	}
	a.metrics.issued.Inc()
	a.logger.Info("certificate issued", "host", host)
}

// TLSConfig returns the configuration of a listener that shows the
// certificates, and answers the authority's challenges over TLS (RFC 8737).
func (a *ACME) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1", acme.ALPNProto},
		GetCertificate: a.get,
	}
}

// get shows the certificate of a configured host, and orders it when there is
// none. Others are refused before anybody is asked.
func (a *ACME) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if !a.hosts.issuable(host) {
		a.metrics.unknown.Inc()
		return nil, ErrUnknownHost
	}
	certificate, err := a.manager.GetCertificate(hello)
	if err != nil && !slices.Contains(hello.SupportedProtos, acme.ALPNProto) {
		a.metrics.failures.Inc()
		if a.orders.tell(host, time.Now()) {
			a.logger.Warn("no certificate for a tracking domain", "host", host, "error", err)
		}
	}
	return certificate, err
}

// Plain is the handler for plain HTTP: it answers the authority's challenges
// (RFC 8555 section 8.3), and redirects to https what is for a tracking domain.
// From now on the authority is asked to look there, where it cannot over TLS.
func (a *ACME) Plain() http.Handler {
	answer := a.manager.HTTPHandler(a.hosts.Redirect())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = hostOf(r)
		answer.ServeHTTP(w, r)
	})
}

package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/dkim"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/submission"
	"github.com/postrider-mta/postrider/tracking/certificate"
	"github.com/postrider-mta/postrider/tracking/token"
)

// reloader lets one reload run at a time: the socket and SIGHUP both ask.
type reloader struct{ mu sync.Mutex }

// state is what a reload can change, made whole before any of it is put in
// place.
type state struct {
	config       *config.Config
	accounts     *accountSnapshot
	signer       *dkim.Signer
	router       *route.Router
	egress       *egress
	limits       shape.Options
	certificates map[string]*tls.Certificate
	// tracking are the tracker's certificates; nil where the file names none.
	tracking *certificate.Set
	// tokens are nil where the keys have not been read before.
	tokens *token.Keyring
}

// prepare does everything that can fail, and changes nothing.
func (d *daemon) prepare(c *config.Config) (*state, error) {
	accounts, accountsError := readAccounts(c)
	signer, signerError := loadSigner(c, d.logger)
	providers, providersError := readProviders(c)
	router, routerError := newRouter(c, providers, d.logger)
	egress, egressError := newEgress(c)
	certificates, certificatesError := loadCertificates(c)
	tracking, trackingError := loadTrackingCertificates(c)
	tokens, tokensError := d.readTokenKeys()
	s := &state{
		config: c, accounts: accounts, signer: signer, router: router, egress: egress,
		limits: limits(c, providers, d.classifier), certificates: certificates, tracking: tracking, tokens: tokens,
	}
	err := errors.Join(accountsError, signerError, providersError, routerError, egressError, certificatesError, trackingError, tokensError)
	if err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

// abandon ends what a state has running that is not put in place.
func (s *state) abandon() {
	if s.router != nil {
		s.router.Close()
	}
}

// apply puts a state in place. It cannot fail.
func (s *state) apply(d *daemon) {
	d.config.Store(s.config)
	if d.domains != nil {
		d.testDomains(s.config)
	}
	d.level.Set(logLevel(s.config.Log.Level))
	d.accounts.current.Store(s.accounts)
	if d.store != nil {
		d.store.Recheck()
	}
	d.signer.current.Store(s.signer)
	d.router.replace(s.router)
	d.keys.replace(s.certificates)
	d.trackingHosts.Set(append(trackingURLs(s.config), s.config.Tracking.URL))
	if s.tracking != nil {
		d.trackingFiles.Replace(s.tracking)
	}
	if s.tokens != nil {
		d.tokens.Replace(s.tokens)
	}
	if d.shaper == nil {
		d.shaper = shape.New(s.limits)
	} else {
		d.shaper.Configure(s.limits)
	}
	s.egress.apply(d)
}

// reload reads the configuration again. On an error nothing has changed.
func (d *daemon) reload(context.Context) error {
	d.reloading.mu.Lock()
	defer d.reloading.mu.Unlock()
	c, err := config.Load(d.options.ConfigFile)
	if err != nil {
		return err
	}
	waiting := config.NeedsRestart(d.begun, c)
	keepBegun(c, d.begun)
	next, err := d.prepare(c)
	if err != nil {
		return err
	}
	if err := next.serves(c.Listeners); err != nil {
		next.abandon()
		return err
	}
	if err := d.submission.Reload(d.accounts, submissionLimits(c), nil); err != nil {
		next.abandon()
		return fmt.Errorf("submission: %w", err)
	}
	next.apply(d)
	if len(waiting) > 0 {
		d.logger.Warn("some changes wait for a restart", "keys", waiting)
	}
	d.logger.Info("configuration reloaded")
	return nil
}

// keepBegun takes back what only a restart changes and what parts of the
// daemon read later on. Listeners stay what they are, with other certificates.
func keepBegun(c, begun *config.Config) {
	c.Hostname, c.DataDir, c.Queue, c.Admin = begun.Hostname, begun.DataDir, begun.Queue, begun.Admin
	c.Delivery.DrainTimeout = begun.Delivery.DrainTimeout
	domain, sender := c.Bounces.Domain, c.Bounces.FeedbackSender
	c.Bounces = begun.Bounces
	c.Bounces.Domain, c.Bounces.FeedbackSender = domain, sender
	listeners := slices.Clone(begun.Listeners)
	for i := range listeners {
		l := &listeners[i]
		l.Certificate, l.Key = "", "" // the loaded one stays where no other is named
		for _, named := range c.Listeners {
			if named.Name == l.Name {
				l.Certificate, l.Key = named.Certificate, named.Key
			}
		}
	}
	c.Listeners = listeners
}

// serves checks that the tenants of the listeners are still there.
func (s *state) serves(listeners []config.Listener) error {
	for _, l := range listeners {
		tenant := trustedTenant(&l)
		if _, known := s.accounts.tenants[tenant]; !known && tenant != "" {
			return fmt.Errorf("listener %s takes mail for tenant %s, who is not in the file any more: restart instead", l.Name, tenant)
		}
	}
	return nil
}

func submissionLimits(c *config.Config) submission.Limits {
	return submission.Limits{
		Connections: c.Limits.Connections, ConnectionsPerIP: c.Limits.ConnectionsPerIP,
		Recipients: c.Limits.Recipients, Messages: c.Limits.MessagesPerConnection,
		MessageSize: int64(c.Limits.MessageSize), Memory: int64(c.Limits.DataMemory),
		AuthFailures: c.Limits.AuthFailures, Hashing: c.Limits.PasswordHashing,
		Idle: c.Limits.IdleTimeout, Session: c.Limits.SessionTimeout,
	}
}

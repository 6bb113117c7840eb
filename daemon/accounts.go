package daemon

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/window"
	"github.com/postrider-mta/postrider/mta/bounce/verp"
	"github.com/postrider-mta/postrider/queue"
)

// accounts is the account.Directory of the configuration file. A reload puts
// another snapshot in its place; whoever holds a tenant keeps the one they
// were given.
type accounts struct {
	current atomic.Pointer[accountSnapshot]
}

type accountSnapshot struct {
	tenants     map[string]account.Tenant
	credentials map[string]account.Credential
	// numbers are the tenants by verp.TenantNumber, and bounceDomains where
	// mail comes back to.
	numbers       map[uint32]string
	bounceDomains map[mail.Domain]bool
}

var _ account.Directory = (*accounts)(nil)

// Tenant implements account.Directory.
func (a *accounts) Tenant(name string) (account.Tenant, bool) {
	t, ok := a.current.Load().tenants[name]
	return t, ok
}

// Credential implements account.Directory.
func (a *accounts) Credential(username string) (account.Credential, bool) {
	c, ok := a.current.Load().credentials[username]
	return c, ok
}

// numbered returns the tenant behind the number in a return path.
func (a *accounts) numbered(number uint32) (string, bool) {
	name, ok := a.current.Load().numbers[number]
	return name, ok
}

// bounceDomain reports whether mail comes back to a domain.
func (a *accounts) bounceDomain(domain mail.Domain) bool {
	return a.current.Load().bounceDomains[domain]
}

// weight is a stream's share of a site; 1 for what is not known any more.
func (a *accounts) weight(tenant, stream string) int {
	t, _ := a.Tenant(tenant)
	return max(t.Streams[stream].Weight, 1)
}

// has reports whether there is a tenant of that name.
func (a *accounts) has(tenant string) bool {
	_, ok := a.Tenant(tenant)
	return ok
}

// bulk reports whether readers can leave a stream. One that is not known any
// more is taken for such: what was asked for is obeyed.
func (a *accounts) bulk(tenant, stream string) bool {
	t, _ := a.Tenant(tenant)
	s, known := t.Streams[stream]
	return s.Unsubscribe || !known
}

// opens is when a queue's mail may leave; zero if it may now. What is not
// known any more is not kept waiting.
func (a *accounts) opens(key queue.Key, now time.Time) time.Time {
	t, _ := a.Tenant(key.Tenant)
	return t.Streams[key.Stream].Windows.Opens(now)
}

// readAccounts builds a snapshot, reading the files that hold hashes.
func readAccounts(c *config.Config) (*accountSnapshot, error) {
	s := &accountSnapshot{
		tenants: map[string]account.Tenant{}, credentials: map[string]account.Credential{},
		numbers: map[uint32]string{}, bounceDomains: map[mail.Domain]bool{},
	}
	for _, t := range c.Tenants {
		tenant, err := makeTenant(c, t)
		if err != nil {
			return nil, fmt.Errorf("tenant %s: %w", t.Name, err)
		}
		s.tenants[t.Name] = tenant
		s.numbers[verp.TenantNumber(t.Name)] = t.Name
		if tenant.BounceDomain != "" {
			s.bounceDomains[tenant.BounceDomain] = true
		}
	}
	if c.Bounces.Domain != "" && len(c.Bounces.Listen) > 0 {
		domain, err := mail.ParseDomain(c.Bounces.Domain)
		if err != nil {
			return nil, fmt.Errorf("bounces: %w", err)
		}
		s.bounceDomains[domain] = true
	}
	for i := range c.Credentials {
		credential, err := makeCredential(&c.Credentials[i])
		if err != nil {
			return nil, fmt.Errorf("credential %s: %w", c.Credentials[i].Username, err)
		}
		s.credentials[credential.Username] = credential
	}
	return s, nil
}

func makeTenant(c *config.Config, t config.Tenant) (account.Tenant, error) {
	tenant := account.Tenant{
		Name:          t.Name,
		Streams:       map[string]account.Stream{},
		DefaultStream: t.DefaultStream,
		HideClient:    t.HideClient,
		TrackingURL:   t.TrackingURL,
		DisplayName:   t.DisplayName,
		Language:      t.Language,
		Quota:         account.Quota{Messages: int64(t.MaxMessages), Bytes: int64(t.MaxBytes), PerHour: t.MaxPerHour},
	}
	var err error
	if tenant.Measure, err = account.ParseMeasure(t.Measure); err != nil {
		return tenant, err
	}
	for _, p := range c.Pools {
		if len(p.Tenants) == 0 || slices.Contains(p.Tenants, t.Name) {
			tenant.Pools = append(tenant.Pools, p.Name)
		}
	}
	if t.DKIMDomain != "" {
		domain, err := mail.ParseDomain(t.DKIMDomain)
		if err != nil {
			return tenant, err
		}
		tenant.DKIMDomain = domain
	}
	if t.BounceDomain != "" && len(c.Bounces.Listen) > 0 { // somebody listens
		domain, err := mail.ParseDomain(t.BounceDomain)
		if err != nil {
			return tenant, err
		}
		tenant.BounceDomain = domain
	}
	for _, s := range t.Streams {
		measured, err := makeMeasured(s)
		if err != nil {
			return tenant, err
		}
		age := s.MaxAge
		if age == 0 {
			age = c.Queue.MaxAge
		}
		name := s.TLS
		if name == config.Inherited {
			name = c.Delivery.TLS
		}
		floor, err := mail.ParseTLSFloor(name)
		if err != nil {
			return tenant, err
		}
		notices, err := account.ParseNotices(s.Notify)
		if err != nil {
			return tenant, err
		}
		checks, err := makeChecks(s)
		if err != nil {
			return tenant, fmt.Errorf("stream %s: %w", s.Name, err)
		}
		windows, err := makeWindows(s)
		if err != nil {
			return tenant, fmt.Errorf("stream %s: %w", s.Name, err)
		}
		tenant.Streams[s.Name] = account.Stream{
			Name: s.Name, DisplayName: s.DisplayName, Track: measured.Track, Measure: measured.Measure, UTM: measured.UTM, UTMHosts: measured.UTMHosts, Unsubscribe: s.Unsubscribe, MaxAge: age, Weight: s.Weight, Windows: windows,
			TLS: floor, Notices: notices, Checks: checks, MaxSize: int64(s.MaxSize), DropSuppressed: s.Suppressed == config.DropSuppressed, Rates: rateRules(s), VERP: s.VERP,
		}
	}
	return tenant, nil
}

func makeWindows(s config.Stream) (window.Windows, error) {
	location, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return window.Windows{}, err
	}
	return window.Parse(s.Windows, location)
}

// makeMeasured returns what a stream says of its links and of what is measured.
func makeMeasured(s config.Stream) (account.Stream, error) {
	var stream account.Stream
	var err error
	if stream.Track, err = account.ParseTrack(s.Track); err != nil {
		return stream, err
	}
	if stream.Measure, err = account.ParseMeasure(s.Measure); err != nil {
		return stream, err
	}
	if s.TrackText {
		stream.Track |= account.TrackText
	}
	if s.UTM != "" {
		if stream.UTM, err = account.ParseUTM(s.UTM); err != nil {
			return stream, fmt.Errorf("stream %s: utm: %w", s.Name, err)
		}
	}
	for _, name := range s.UTMHosts {
		host, err := mail.ParseDomain(name)
		if err != nil {
			return stream, fmt.Errorf("stream %s: utm_hosts: %w", s.Name, err)
		}
		stream.UTMHosts = append(stream.UTMHosts, host)
	}
	return stream, nil
}

func makeCredential(c *config.Credential) (account.Credential, error) {
	hash, err := c.Hash()
	if err != nil {
		return account.Credential{}, err
	}
	credential := account.Credential{Username: c.Username, Tenant: c.Tenant, PasswordHash: hash, VendorHeaders: c.VendorHeaders}
	for _, name := range c.FromDomains {
		domain, err := mail.ParseDomain(name)
		if err != nil {
			return account.Credential{}, err
		}
		credential.FromDomains = append(credential.FromDomains, domain)
	}
	return credential, nil
}

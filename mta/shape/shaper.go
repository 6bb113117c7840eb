package shape

import (
	"sync"
	"sync/atomic"
	"time"
)

// Target is what a connection is for.
type Target struct {
	// Source and Site carry the limits.
	Source, Site string
	// Route names the hosts behind the site that one connection can serve,
	// separated by spaces. Back-off is kept for each route of a site apart: a
	// provider's customer with a dead host of their own must not stop the
	// others.
	Route string
}

// Shaper decides when a connection may be opened and a message sent. It knows
// no clock and does no I/O: every answer is a decision over the time given. It
// is safe for concurrent use.
//
// Locks are taken in the order Shaper.mu, site.mu, then one of warmUps.mu and
// blocks.mu, warmUp.mu.
type Shaper struct {
	// options but for what conducts and warmUps have now.
	options Options
	warmUps warmUps
	blocks  blocks
	// probes under way.
	probes atomic.Int64

	mu       sync.Mutex
	conducts conducts
	sites    map[siteKey]*site
	reaped   time.Time
}

type siteKey struct{ source, name string }

// New returns a Shaper that knows no site yet.
func New(options Options) *Shaper {
	options = options.withDefaults()
	s := &Shaper{options: options, conducts: options.conducts(), sites: map[siteKey]*site{}}
	s.warmUps.configure(options.Warming)
	return s
}

// Limits returns what the configuration and the provider's rules allow for a
// site. Connections is always set.
func (s *Shaper) Limits(siteName string) Limits {
	return s.conduct(siteName).limits
}

// conduct is how a site is to be treated now.
func (s *Shaper) conduct(siteName string) conduct {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conducts.of(siteName, "")
}

// Connect asks for a connection. It returns a slot, which must be closed when
// the connection is; or nil and how long to wait; or nil and zero where a slot
// comes free only when another is closed.
func (s *Shaper) Connect(now time.Time, t Target) (*Slot, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reap(now)
	held := s.site(t)
	held.mu.Lock()
	defer held.mu.Unlock()
	r := held.route(t.Route)
	if wait := max(r.until.Sub(now), held.closed(now)); wait > 0 {
		return nil, wait
	}
	if held.active >= held.connections(now) || r.active >= int(r.window) {
		return nil, 0
	}
	probe := r.failures > 0
	if probe && s.probes.Load() >= int64(s.options.MaxProbes) {
		return nil, s.turn()
	}
	if probe {
		s.probes.Add(1)
	}
	held.active++
	r.active++
	return &Slot{shaper: s, site: held, route: r, incident: r.incidents, begun: now, probe: probe}, 0
}

// turn is how long a probe waits for its turn: not as long as the others.
func (s *Shaper) turn() time.Duration {
	return time.Second + time.Duration(s.options.Random()*float64(time.Second))
}

// site returns the state of a target's. The caller holds s.mu.
func (s *Shaper) site(t Target) *site {
	key := siteKey{t.Source, t.Site}
	held, ok := s.sites[key]
	if !ok {
		c := s.conducts.of(t.Site, t.Route)
		held = newSite(key, c, s.warmUps.of(t.Source, &c))
		s.sites[key] = held
	}
	return held
}

// Paused says how long a route is still left alone; zero when it is not.
func (s *Shaper) Paused(now time.Time, t Target) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.sites[siteKey{t.Source, t.Site}]
	if !ok {
		return 0
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	paused := held.closed(now)
	if r, ok := held.routes[t.Route]; ok {
		paused = max(paused, r.until.Sub(now))
	}
	return paused
}

// sitePaused reports that nothing is sent to a site for now.
func (s *Shaper) sitePaused(now time.Time, key siteKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.sites[key]
	if !ok {
		return false
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	return held.paused(now) > 0
}

// release forgets a site as soon as nothing about it is worth remembering.
func (s *Shaper) release(now time.Time, held *site) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held.mu.Lock()
	defer held.mu.Unlock()
	if held.idle(now, s.options.Idle) && s.sites[held.key] == held {
		delete(s.sites, held.key)
	}
}

// reap forgets idle sites, now and then. The caller holds s.mu.
func (s *Shaper) reap(now time.Time) {
	crowded := len(s.sites) >= s.options.MaxSites
	if since := now.Sub(s.reaped); since < time.Second || !crowded && since < s.options.Idle/4 {
		return
	}
	s.reaped = now
	keep := s.options.Idle
	if crowded {
		keep = 0
	}
	for key, held := range s.sites {
		held.mu.Lock()
		if held.idle(now, keep) {
			delete(s.sites, key)
		}
		held.mu.Unlock()
	}
}

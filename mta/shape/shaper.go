package shape

import (
	"sync"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Target is what a connection is for.
type Target struct {
	// Source and Site carry the limits.
	Source, Site string
	// Route names the hosts behind the site that one connection can serve.
	// Back-off is kept for each route of a site apart: a provider's customer
	// with a dead host of their own must not stop the others.
	Route string
}

// Shaper decides when a connection may be opened and a message sent. It knows
// no clock and does no I/O: every answer is a decision over the time given. It
// is safe for concurrent use.
type Shaper struct {
	// options but for the limits, which limits has now.
	options Options

	mu     sync.Mutex
	limits limitTable
	sites  map[siteKey]*site
	reaped time.Time
}

type siteKey struct{ source, name string }

// New returns a Shaper that knows no site yet.
func New(options Options) *Shaper {
	options = options.withDefaults()
	return &Shaper{options: options, limits: options.table(), sites: map[siteKey]*site{}}
}

// Limits returns what the configuration allows for a site.
func (s *Shaper) Limits(siteName string) Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits.of(siteName)
}

// Connect asks for a connection. It returns a slot, which must be closed when
// the connection is; or nil and how long to wait; or nil and zero where a slot
// comes free only when another is closed.
func (s *Shaper) Connect(now time.Time, t Target) (*Slot, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reap(now)
	key := siteKey{t.Source, t.Site}
	held, ok := s.sites[key]
	if !ok {
		held = newSite(key, s.limits.of(t.Site))
		s.sites[key] = held
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	r := held.route(t.Route)
	if wait := r.until.Sub(now); wait > 0 {
		return nil, wait
	}
	if held.active >= held.limits.Connections || r.active >= int(r.window) {
		return nil, 0
	}
	held.active++
	r.active++
	return &Slot{shaper: s, site: held, route: r, incident: r.incidents}, 0
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
	if r, ok := held.routes[t.Route]; ok {
		return max(r.until.Sub(now), 0)
	}
	return 0
}

// release forgets a site as soon as nothing about it is worth remembering.
func (s *Shaper) release(now time.Time, held *site) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held.mu.Lock()
	defer held.mu.Unlock()
	if held.idle(now, s.options.Idle) {
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

// site is the state of one (source, site).
type site struct {
	key    siteKey
	limits Limits

	mu     sync.Mutex
	active int
	rate   meter
	routes map[string]*routeState
}

func newSite(key siteKey, limits Limits) *site {
	return &site{key: key, limits: limits, rate: newMeter(limits.Rate), routes: map[string]*routeState{}}
}

// routeState is what was learned of one route.
type routeState struct {
	active, established int
	// window is how many connections the route gets: whole ones count.
	window float64
	// failures in a row, each one incident with however many connections it
	// took along.
	failures  int
	incidents uint64
	until     time.Time
	reason    string
	cause     mail.Reply
}

func (s *site) route(name string) *routeState {
	r, ok := s.routes[name]
	if !ok {
		r = &routeState{window: float64(s.limits.Connections)}
		s.routes[name] = r
	}
	return r
}

// idle drops the routes that are as good as new, and those last paused longer
// than keep ago, and reports that nothing is left to remember.
func (s *site) idle(now time.Time, keep time.Duration) bool {
	for name, r := range s.routes {
		fresh := r.failures == 0 && int(r.window) == s.limits.Connections
		if r.active == 0 && !r.until.After(now) && (fresh || now.Sub(r.until) >= keep) {
			delete(s.routes, name)
		}
	}
	return s.active == 0 && len(s.routes) == 0 && s.rate.full(now)
}

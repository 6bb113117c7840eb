package delivery

import (
	"cmp"
	"slices"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/queue"
)

// SiteStatus is one site that mail waits for, at a glance.
type SiteStatus struct {
	Site, Source string
	Limits       shape.Limits
	Routes       []RouteStatus
	// Throttles in force.
	Throttles []shape.Throttle
}

// RouteStatus is one route of a site.
type RouteStatus struct {
	// Hosts by name, in the order in which they are tried.
	Hosts []string
	// Connections open or being opened, Idle those without work.
	Connections, Idle int
	// Leased recipients that wait for a connection; Queues that have more.
	Leased, Queues int
	// LastReply and LastReason say why the last connection failed; zero once
	// one did not.
	LastReply  mail.Reply
	LastReason string
}

// Place is where a queue's recipients wait.
type Place struct {
	// Site is empty while the route is being looked up.
	Site  string
	Hosts []string
	// Throttles that it waits for.
	Throttles []shape.Throttle
}

// Sites returns the sites that mail waits for now, ordered by name.
func (e *Engine) Sites() []SiteStatus {
	throttles := e.throttles()
	e.mu.Lock()
	sites := make([]*site, 0, len(e.sites))
	for _, s := range e.sites {
		sites = append(sites, s)
	}
	e.mu.Unlock()
	all := make([]SiteStatus, 0, len(sites))
	for _, s := range sites {
		status := s.status()
		status.Throttles = throttles[s.name]
		all = append(all, status)
	}
	slices.SortFunc(all, func(a, b SiteStatus) int { return cmp.Compare(a.Site, b.Site) })
	return all
}

// Where says where the due recipients of a queue wait; false when none is due
// that was not leased.
func (e *Engine) Where(key queue.Key) (Place, bool) {
	e.mu.Lock()
	q, ok := e.queues[key]
	if !ok || q.lane == nil {
		e.mu.Unlock()
		return Place{}, ok
	}
	l := q.lane
	e.mu.Unlock()
	l.site.mu.Lock()
	hosts := l.hostNames()
	l.site.mu.Unlock()
	return Place{Site: l.site.name, Hosts: hosts, Throttles: e.throttles()[l.site.name]}, true
}

func (e *Engine) throttles() map[string][]shape.Throttle {
	bySite := map[string][]shape.Throttle{}
	for _, t := range e.options.Shaper.Throttles(time.Now()) {
		if t.Source == e.options.Source {
			bySite[t.Site] = append(bySite[t.Site], t)
		}
	}
	return bySite
}

func (e *Engine) siteCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.sites)
}

func (s *site) status() SiteStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := SiteStatus{
		Site: s.name, Source: s.engine.options.Source,
		Limits: s.engine.options.Shaper.Limits(s.name),
	}
	for _, l := range s.lanes {
		status.Routes = append(status.Routes, RouteStatus{
			Hosts: l.hostNames(), Connections: l.workers, Idle: len(l.idle),
			Leased: l.leased, Queues: s.queued(l),
			LastReply: l.last.reply, LastReason: l.last.reason,
		})
	}
	slices.SortFunc(status.Routes, func(a, b RouteStatus) int { return slices.Compare(a.Hosts, b.Hosts) })
	return status
}

func (s *site) queued(l *lane) int {
	count := 0
	for _, f := range s.flows {
		if st := f.stocks[l]; st != nil {
			count += len(st.queues)
		}
	}
	return count
}

func (l *lane) hostNames() []string {
	names := make([]string, len(l.route.Hosts))
	for i, h := range l.route.Hosts {
		names[i] = h.Name
	}
	return names
}

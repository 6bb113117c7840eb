package delivery

import (
	"cmp"
	"slices"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/shape"
)

// SiteStatus is one site that mail waits for, at a glance.
type SiteStatus struct {
	Site   string
	Limits shape.Limits
	Routes []RouteStatus
	// Throttles in force.
	Throttles []shape.Throttle
}

// RouteStatus is one route of a site from one source.
type RouteStatus struct {
	Source string
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

func (e *Engine) throttles() map[string][]shape.Throttle {
	bySite := map[string][]shape.Throttle{}
	for _, t := range e.options.Shaper.Throttles(time.Now()) {
		bySite[t.Site] = append(bySite[t.Site], t)
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
		Site: s.name, Limits: s.engine.options.Shaper.Limits(s.name),
	}
	for _, l := range s.lanes {
		status.Routes = append(status.Routes, RouteStatus{
			Source: l.key.source, Hosts: names(l.route), Connections: l.workers, Idle: len(l.idle),
			Leased: l.leased, Queues: s.queued(l),
			LastReply: l.last.reply, LastReason: l.last.reason,
		})
	}
	slices.SortFunc(status.Routes, func(a, b RouteStatus) int {
		return cmp.Or(slices.Compare(a.Hosts, b.Hosts), cmp.Compare(a.Source, b.Source))
	})
	return status
}

func (s *site) queued(l *lane) int {
	count := 0
	for _, f := range s.flows {
		for _, o := range l.outlets {
			if sup := f.supplies[o]; sup != nil {
				count += len(sup.queues)
			}
		}
	}
	return count
}

func names(r *route.Route) []string {
	all := make([]string, len(r.Hosts))
	for i, h := range r.Hosts {
		all[i] = h.Name
	}
	return all
}

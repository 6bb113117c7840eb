package shape

import (
	"fmt"
	"slices"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Names of throttles.
const (
	// ThrottleBackoff: the site failed and no connection is tried before the end.
	ThrottleBackoff = "backoff"
	// ThrottleConnections: fewer connections than the limit after failures; they grow back.
	ThrottleConnections = "connections"
	// ThrottleRate: the rate of the limits is used up for now.
	ThrottleRate = "rate"
)

// Throttle is a limit in force, in words.
type Throttle struct {
	Site, Source, Name string
	// Route it holds for, as Target named it; empty for the whole site.
	Route string
	// Reason in words; never an address.
	Reason string
	// Cause is the reply that brought it about, where there was one.
	Cause mail.Reply
	// Until is its end; zero where it ends by success.
	Until time.Time
}

// Throttles returns what is in force at now, ordered by site, source, route
// and name.
func (s *Shaper) Throttles(now time.Time) []Throttle {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Throttle
	for _, held := range s.sites {
		all = append(all, held.throttles(now)...)
	}
	slices.SortFunc(all, func(a, b Throttle) int {
		return slices.Compare([]string{a.Site, a.Source, a.Route, a.Name}, []string{b.Site, b.Source, b.Route, b.Name})
	})
	return all
}

func (s *site) throttles(now time.Time) []Throttle {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Throttle
	if wait := s.rate.wait(now); wait > 0 {
		all = append(all, Throttle{
			Site: s.key.name, Source: s.key.source, Name: ThrottleRate, Until: now.Add(wait),
			Reason: fmt.Sprintf("the limit of %d messages in %v", s.limits.Rate.Messages, s.limits.Rate.Per),
		})
	}
	for name, r := range s.routes {
		t := Throttle{
			Site: s.key.name, Source: s.key.source, Route: name,
			Reason: r.reason, Cause: r.cause,
		}
		if r.until.After(now) {
			t.Name, t.Until = ThrottleBackoff, r.until
			all = append(all, t)
		}
		if int(r.window) < s.limits.Connections {
			t.Name, t.Until = ThrottleConnections, time.Time{}
			t.Reason = fmt.Sprintf("%d of %d connections after: %s", int(r.window), s.limits.Connections, r.reason)
			all = append(all, t)
		}
	}
	return all
}

// Lift ends the throttles of that name at a site, or all of them where name is
// empty, for every source, and returns how many it ended. A rate that is
// lifted starts anew; the limit itself stays.
func (s *Shaper) Lift(now time.Time, siteName, name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	lifted := 0
	for key, held := range s.sites {
		if key.name == siteName {
			lifted += held.lift(now, name)
		}
	}
	return lifted
}

func (s *site) lift(now time.Time, name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	lifted := 0
	wanted := func(throttle string) bool { return name == "" || name == throttle }
	if wanted(ThrottleRate) && s.rate.wait(now) > 0 {
		s.rate.next = now
		lifted++
	}
	for _, r := range s.routes {
		if wanted(ThrottleBackoff) && r.until.After(now) {
			r.until, r.failures = now, 0
			lifted++
		}
		if wanted(ThrottleConnections) && int(r.window) < s.limits.Connections {
			r.window = float64(s.limits.Connections)
			lifted++
		}
	}
	return lifted
}

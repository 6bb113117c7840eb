package shape

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Names of throttles.
const (
	// ThrottleBackoff: the site failed and no connection is tried before the end.
	ThrottleBackoff = "backoff"
	// ThrottleConnections: fewer connections than the limit; they grow back.
	ThrottleConnections = "connections"
	// ThrottleRate: the rate of the limits is used up for now.
	ThrottleRate = "rate"
	// ThrottleSlow: a lower rate than the limits allow; it grows back.
	ThrottleSlow = "slow"
	// ThrottlePause: a rule has the site left alone.
	ThrottlePause = "pause"
	// ThrottleTenant: a rule keeps a tenant from the site.
	ThrottleTenant = "tenant"
	// ThrottleCampaign: a rule keeps a campaign from the site.
	ThrottleCampaign = "campaign"
	// ThrottleWarmUp: a new source has sent what it may today.
	ThrottleWarmUp = "warmup"
)

// Throttle is a limit in force, in words.
type Throttle struct {
	// Source is empty where it holds for every one.
	Site, Source, Name string
	// Route it holds for, as Target named it; empty for the whole site.
	Route string
	// Tenant and Campaign it holds for; empty for all.
	Tenant, Campaign string
	// Rule that asked for it, as provider/name; empty where it was none.
	Rule string
	// Reason in words; never an address.
	Reason string
	// Cause is the reply that brought it about, where there was one.
	Cause mail.Reply
	// Until is its end; zero where it ends by success.
	Until time.Time
}

// Throttles returns what is in force at now, ordered by site, source, route,
// name, rule, tenant and campaign.
func (s *Shaper) Throttles(now time.Time) []Throttle {
	var all []Throttle
	s.mu.Lock()
	for _, held := range s.sites {
		all = append(all, held.throttles(now)...)
	}
	s.mu.Unlock()
	s.blocks.each(now, func(key blockKey, p pause) { all = append(all, key.show(p)) })
	slices.SortFunc(all, func(a, b Throttle) int {
		return cmp.Or(
			strings.Compare(a.Site, b.Site), strings.Compare(a.Source, b.Source), strings.Compare(a.Route, b.Route),
			strings.Compare(a.Name, b.Name), strings.Compare(a.Rule, b.Rule),
			strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Campaign, b.Campaign),
		)
	})
	return all
}

func (s *site) throttles(now time.Time) []Throttle {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.showLimits(now)
	for _, p := range s.pauses {
		if p.until.After(now) {
			all = append(all, s.showPause(p))
		}
	}
	for name, r := range s.routes {
		all = append(all, s.showRoute(now, name, r)...)
	}
	return all
}

// showLimits lists what holds for all routes.
func (s *site) showLimits(now time.Time) []Throttle {
	var all []Throttle
	if s.pace.active(now) {
		all = append(all, s.showPace(now))
	} else if wait := s.meter(now).wait(now); wait > 0 {
		t := s.show(ThrottleRate, cause{reason: "the limit of " + s.conduct.limits.Rate.String()})
		t.Until = now.Add(wait)
		all = append(all, t)
	}
	if s.crowd.active(now) {
		all = append(all, s.showCrowd(now))
	}
	if wait := s.warm.wait(now); wait > 0 {
		t := s.show(ThrottleWarmUp, cause{reason: s.warm.describe(now).Words})
		t.Until = now.Add(wait)
		all = append(all, t)
	}
	return all
}

func (s *site) show(name string, why cause) Throttle {
	return Throttle{
		Site: s.key.name, Source: s.key.source, Name: name,
		Rule: why.rule, Reason: why.reason, Cause: why.reply,
	}
}

func (s *site) showPace(now time.Time) Throttle {
	t := s.show(ThrottleSlow, s.pace.why)
	t.Reason = fmt.Sprintf("%s after: %s", share(s.perSecond(now)), t.Reason)
	t.Until = s.pace.end()
	return t
}

func (s *site) showCrowd(now time.Time) Throttle {
	t := s.show(ThrottleConnections, s.crowd.why)
	t.Reason = fmt.Sprintf("%d of %d connections after: %s", s.connections(now), s.conduct.limits.Connections, t.Reason)
	t.Until = s.crowd.end()
	return t
}

func (s *site) showPause(p pause) Throttle {
	name := ThrottlePause
	if p.probed {
		name = ThrottleBackoff
	}
	t := s.show(name, p.why)
	t.Until = p.until
	return t
}

func (s *site) showRoute(now time.Time, name string, r *routeState) []Throttle {
	var all []Throttle
	t := s.show(ThrottleBackoff, cause{"", r.reason, r.cause})
	t.Route = name
	if r.until.After(now) {
		t.Until = r.until
		all = append(all, t)
	}
	if r.shrunk && r.reason != "" {
		t.Name, t.Until = ThrottleConnections, time.Time{}
		t.Reason = fmt.Sprintf("%d of %d connections after: %s", int(r.window), s.conduct.limits.Connections, r.reason)
		all = append(all, t)
	}
	return all
}

// Lift ends the throttles of that name at a site, those of a rule where name is
// provider/name, or all of them where it is empty, for every source, and
// returns how many it ended. A rate that is lifted starts anew, and so does a
// day's cap; the limits themselves stay.
func (s *Shaper) Lift(now time.Time, siteName, name string) int {
	wanted := func(throttle, rule string) bool {
		return name == "" || name == throttle || name == rule
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lifted := s.blocks.lift(now, siteName, wanted)
	for key, held := range s.sites {
		if key.name == siteName {
			lifted += held.lift(now, wanted)
		}
	}
	return lifted
}

func (s *site) lift(now time.Time, wanted func(throttle, rule string) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	lifted := s.liftLimits(now, wanted)
	for rule, p := range s.pauses {
		if p.until.After(now) && wanted(s.showPause(p).Name, p.why.rule) {
			delete(s.pauses, rule)
			if p.probed {
				s.fruitless = 0
			}
			lifted++
		}
	}
	for _, r := range s.routes {
		if wanted(ThrottleBackoff, "") && r.until.After(now) {
			r.until, r.failures = now, 0
			lifted++
		}
		if wanted(ThrottleConnections, "") && r.shrunk {
			if r.reason != "" {
				lifted++
			}
			r.window, r.shrunk = float64(s.conduct.limits.Connections), false
		}
	}
	return lifted
}

func (s *site) liftLimits(now time.Time, wanted func(throttle, rule string) bool) int {
	lifted := 0
	if s.pace.active(now) && wanted(ThrottleSlow, s.pace.why.rule) {
		s.pace = nil
		s.fruitless = 0
		lifted++
	}
	if wanted(ThrottleRate, "") && s.meter(now).wait(now) > 0 {
		s.rate.next = now
		lifted++
	}
	if s.crowd.active(now) && wanted(ThrottleConnections, s.crowd.why.rule) {
		s.crowd = nil
		lifted++
	}
	if s.warm.wait(now) > 0 && wanted(ThrottleWarmUp, "") {
		s.warm.lift(now)
		lifted++
	}
	return lifted
}

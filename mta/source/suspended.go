package source

import (
	"iter"
	"slices"
	"time"
)

// coverage yields the keys of suspensions that speak of a connection.
func coverage(source, site string, over Families, name string) iter.Seq[suspensionKey] {
	sites := []string{"", site}
	if site == "" {
		sites = sites[:1]
	}
	return func(yield func(suspensionKey) bool) {
		for _, families := range []Families{IPv4, IPv6, Both} {
			if families&over == 0 {
				continue
			}
			for _, at := range sites {
				if !yield(suspensionKey{source, at, name, families}) {
					return
				}
			}
		}
	}
}

// suspensionsOf takes away from v's families those that are suspended. A
// suspension that is over lets one message through; with claim this is it.
func (s *Set) suspensionsOf(now time.Time, v *verdict, site string, claim bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := v.Families
	var due []*suspension
	for _, family := range []Families{IPv4, IPv6} {
		if v.Families&family == 0 {
			continue
		}
		probes, blocking := s.state(now, v.Source.Name, site, family)
		if blocking != nil {
			left &^= family
			v.Reason, v.Until = words(blocking), s.end(blocking, now)
			continue
		}
		due = append(due, probes...)
	}
	if v.Families = left; left == 0 {
		return
	}
	v.Reason, v.Until = "", time.Time{}
	if claim {
		for _, h := range due {
			h.probed = now
			v.probe = true
		}
	}
}

// state returns, of the suspensions that speak of a family, those that wait
// for a probe, and one that keeps it from being used. The caller holds s.mu.
func (s *Set) state(now time.Time, source, site string, family Families) (due []*suspension, blocking *suspension) {
	for _, name := range []string{SuspendedOperator, SuspendedBind, SuspendedProxy, SuspendedBlocked} {
		for key := range coverage(source, site, family, name) {
			h := s.held[key]
			switch {
			case h == nil:
			case h.inForce(now), !h.probed.IsZero() && now.Sub(h.probed) < s.options.ProbeTimeout:
				blocking = longer(blocking, h)
			case name == SuspendedOperator, now.Sub(h.Until) >= rememberFor:
				s.drop(key)
			default:
				due = append(due, h)
			}
		}
	}
	return due, blocking
}

// longer returns the suspension that ends later.
func longer(a, b *suspension) *suspension {
	if a == nil || !a.Until.IsZero() && (b.Until.IsZero() || b.Until.After(a.Until)) {
		return b
	}
	return a
}

// words say why a source is suspended.
func words(h *suspension) string {
	at := "it is suspended"
	if h.Site != "" {
		at += " at " + h.Site
	}
	if h.Families != Both {
		at += " over " + h.Families.String()
	}
	if h.Reason != "" {
		at += " (" + h.Reason + ")"
	}
	return at
}

// end is when a suspension may be over. One that is being probed is asked for
// again soon: the probe decides, and it seldom takes long.
func (s *Set) end(h *suspension, now time.Time) time.Time {
	if h.Until.IsZero() || h.inForce(now) {
		return h.Until
	}
	soon, latest := now.Add(10*time.Second), h.probed.Add(s.options.ProbeTimeout)
	if soon.After(latest) {
		return latest
	}
	return soon
}

// Suspensions returns what is in force at now or waits for its probe, ordered
// by source, site and name.
func (s *Set) Suspensions(now time.Time) []Suspension {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Suspension
	for key, h := range s.held {
		if !h.inForce(now) && (key.name == SuspendedOperator || now.Sub(h.Until) >= rememberFor) {
			s.drop(key)
			continue
		}
		one := h.Suspension
		one.Probing = !h.inForce(now) && !h.probed.IsZero() && now.Sub(h.probed) < s.options.ProbeTimeout
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Suspension) int {
		return slices.Compare(
			[]string{a.Source, a.Site, a.Name, a.Families.String()},
			[]string{b.Source, b.Site, b.Name, b.Families.String()})
	})
	return all
}

// Lift ends the suspensions of a source, at a site or, where site is empty,
// everywhere, of that name or, where name is empty, of every name, and returns
// how many it ended. An empty source stands for all.
func (s *Set) Lift(source, site, name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	matches := func(wanted, is string) bool { return wanted == "" || wanted == is }
	lifted := 0
	for key := range s.held {
		if matches(source, key.source) && matches(site, key.site) && matches(name, key.name) {
			s.drop(key)
			lifted++
		}
	}
	return lifted
}

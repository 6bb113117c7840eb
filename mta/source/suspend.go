package source

import (
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Names of suspensions.
const (
	// SuspendedBind: the source's address cannot be bound.
	SuspendedBind = "bind"
	// SuspendedProxy: the source's proxy cannot be used.
	SuspendedProxy = "proxy"
	// SuspendedBlocked: a provider refuses the source.
	SuspendedBlocked = "blocked"
	// SuspendedOperator: an operator said so.
	SuspendedOperator = "operator"
)

// Suspension keeps a source from being chosen.
type Suspension struct {
	Source string
	// Site that it holds for; empty for all.
	Site string
	// Families that it holds for; zero for both.
	Families Families
	// Name is one of the names above.
	Name string
	// Reason in words; never an address.
	Reason string
	// Cause is the reply that brought it about, where there was one.
	Cause mail.Reply
	Since time.Time
	// Until is its end; zero for one that only Lift ends. What is over but an
	// operator's is still listed while a probe is due or under way.
	Until time.Time
	// Failures in a row, each after a probe.
	Failures int
	// Probing holds while a probe is under way.
	Probing bool
}

type suspensionKey struct {
	source, site, name string
	families           Families
}

// suspension is the state of one.
type suspension struct {
	Suspension
	// probed is when the last probe was given out; zero for none.
	probed time.Time
}

func (h *suspension) inForce(now time.Time) bool { return h.Until.IsZero() || h.Until.After(now) }

// rememberFor is how long the failures of a suspension that is over are
// remembered when nobody asks for the source.
const rememberFor = 24 * time.Hour

// Suspend keeps a source from being chosen, for all sites or one, for both
// families or one, and returns the end. Source, Site, Families, Name, Reason
// and Cause are taken from what; an Until that is set is the end, without it
// the back-off of the name is, and an operator's has none. What fails together
// counts once. An unknown source is not suspended.
func (s *Set) Suspend(now time.Time, what Suspension) time.Time {
	if what.Families == 0 {
		what.Families = Both
	}
	key := suspensionKey{what.Source, what.Site, what.Name, what.Families}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.table.Load().sources[what.Source] == nil {
		return now
	}
	h := s.held[key]
	if h == nil {
		s.makeRoom(now)
		h = &suspension{Suspension: what}
		h.Since, h.Until, h.Failures, h.Probing = now, now, 0, false
		s.held[key] = h
		s.suspended.Add(1)
	}
	s.extend(now, h, &what)
	return h.Until
}

// extend makes a suspension last, or last longer.
func (s *Set) extend(now time.Time, h *suspension, what *Suspension) {
	again := h.Failures > 0 && h.inForce(now)
	if !again {
		h.Failures++
		h.Reason, h.Cause, h.probed = what.Reason, what.Cause, time.Time{}
		h.Until = now
	}
	switch {
	case what.Name == SuspendedOperator:
		h.Until, h.Reason = what.Until, what.Reason
	case what.Until.After(h.Until):
		h.Until = what.Until
	case !again:
		h.Until = now.Add(s.backoff(what.Name).pause(h.Failures, s.options.Random()))
	}
}

func (s *Set) backoff(name string) Backoff {
	switch name {
	case SuspendedBind:
		return s.options.Bind
	case SuspendedProxy:
		return s.options.Proxy
	}
	return s.options.Blocked
}

// makeRoom forgets what is over and, if that is not enough, what ends first.
// The caller holds s.mu.
func (s *Set) makeRoom(now time.Time) {
	if len(s.held) < s.options.MaxSuspensions {
		return
	}
	var first suspensionKey
	var end time.Time
	for key, h := range s.held {
		if !h.inForce(now) {
			s.drop(key)
			continue
		}
		if !h.Until.IsZero() && (end.IsZero() || h.Until.Before(end)) {
			first, end = key, h.Until
		}
	}
	if len(s.held) >= s.options.MaxSuspensions && !end.IsZero() {
		s.drop(first)
		s.forgotten++
	}
}

// drop ends a suspension. The caller holds s.mu.
func (s *Set) drop(key suspensionKey) {
	if _, ok := s.held[key]; ok {
		delete(s.held, key)
		s.suspended.Add(-1)
	}
}

// Forgotten is how many suspensions in force were forgotten for want of room.
func (s *Set) Forgotten() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forgotten
}

// Connected notes that a connection from the source was opened: what was wrong
// with binding or the proxy is over.
func (s *Set) Connected(now time.Time, source, site string, over Families) {
	s.succeed(now, source, site, over, SuspendedBind, SuspendedProxy)
}

// Delivered notes that the site took a message from the source: the source is
// not blocked there any more either.
func (s *Set) Delivered(now time.Time, source, site string, over Families) {
	s.succeed(now, source, site, over, SuspendedBind, SuspendedProxy, SuspendedBlocked)
}

// succeed ends what is over and covers the connection. What is still in force
// stays: the connection may be older than it.
func (s *Set) succeed(now time.Time, source, site string, over Families, names ...string) {
	if s.suspended.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		for key := range coverage(source, site, over, name) {
			if h := s.held[key]; h != nil && !h.inForce(now) {
				s.drop(key)
			}
		}
	}
}

package shape

import (
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Slot is the right to hold one connection. Its methods are safe for
// concurrent use, except that Close is called once, last.
type Slot struct {
	shaper   *Shaper
	site     *site
	route    *routeState
	incident uint64
	begun    time.Time
	// probe counts among those that the shaper allows at once.
	probe bool

	// Guarded by site.mu.
	established, succeeded, failed, leaving bool
	// pending messages are taken and not answered.
	pending int
	// Of the message that is being reported: whether a recipient was refused or
	// taken, whether it had the pace cut, and what was said last.
	refused, taken, slowed bool
	reported               mail.Reply
	reaction               Reaction
}

// Limits that hold for the connection.
func (s *Slot) Limits() Limits {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	return s.site.conduct.limits
}

// Wait says how long until the site takes another message; zero for now.
func (s *Slot) Wait(now time.Time) time.Duration {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	return s.site.wait(now)
}

// Take counts one message to one recipient, sent at now, and returns zero; or
// it counts nothing and says how long to wait before asking again.
func (s *Slot) Take(now time.Time) time.Duration { return s.TakeFor(now, 1) }

// TakeFor is Take for a message to that many recipients: the rate counts it
// once, the caps of a warm-up as many times.
func (s *Slot) TakeFor(now time.Time, recipients int) time.Duration {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	if wait := s.site.closed(now); wait > 0 {
		return wait
	}
	if wait := s.site.meter(now).take(now); wait > 0 {
		return wait
	}
	s.site.tempo.add(now)
	s.site.warm.sent(now, recipients)
	s.settle(s.pending + 1)
	return 0
}

// settle sets how many messages are under way. The caller holds site.mu.
func (s *Slot) settle(pending int) {
	pending = max(pending, 0)
	s.site.pending += pending - s.pending
	s.pending = pending
}

// forget what was said of one message. The caller holds site.mu.
func (s *Slot) forget() {
	s.refused, s.taken, s.slowed, s.reported, s.reaction = false, false, false, mail.Reply{}, Reaction{}
}

// Surplus reports that the site is to have fewer connections than are open, and
// asks this one to end after what it is sending. It asks only as many as are
// too many.
func (s *Slot) Surplus(now time.Time) bool {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	if !s.leaving && s.site.active-s.site.leaving > s.site.connections(now) {
		s.leaving = true
		s.site.leaving++
	}
	return s.leaving
}

// Establish notes that the server greeted us; once more for a connection that
// takes the place of a broken one.
func (s *Slot) Establish() {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	if s.established {
		s.settle(0) // what was under way went with the other
		return
	}
	s.established = true
	s.endProbe()
	s.site.established++
	s.route.established++
	if s.route.failures == 0 && !s.route.shrunk {
		s.route.window = max(s.route.window, 2)
	}
	if held := s.site; held.crowd != nil && s.begun.Before(held.crowd.since) {
		// More are let in than held when one was turned away.
		held.crowd.level = max(held.crowd.level, float64(held.established))
	}
}

// endProbe frees the place for another. The caller holds site.mu.
func (s *Slot) endProbe() {
	if s.probe {
		s.probe = false
		s.shaper.probes.Add(-1)
	}
}

// Succeed notes that the server answered for a message, whatever it said: the
// route lives. A new one grows by a connection for each answer, one that failed
// by one for each round of them.
func (s *Slot) Succeed() {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	s.succeeded = true
	s.settle(s.pending - 1)
	if !s.refused && !s.taken {
		s.site.accepted() // whoever reports nothing was not refused
	}
	s.forget()
	r := s.route
	r.failures = 0
	limit := float64(s.site.conduct.limits.Connections)
	if r.window < limit {
		step := 1.0
		if r.shrunk {
			step = 1 / max(r.window, 1)
		}
		r.window = min(r.window+step, limit)
	}
	r.shrunk = r.shrunk && r.window < limit
}

// Fail notes the end of a connection by failure, of the scope session or site;
// it counts once. The rules of the provider see the cause. What they leave
// alone shrinks concurrency: a connection that had carried messages costs the
// route one; one that is turned away beside others that hold bounds the site to
// those, and time lets it try for more; and where none holds the route is
// paused, ever longer, each pause followed by one probe.
func (s *Slot) Fail(now time.Time, reason string, reply mail.Reply) {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	r := s.route
	if s.failed {
		return
	}
	s.failed = true
	s.settle(0)
	if s.incident != r.incidents {
		return
	}
	reaction := s.hear(now, reply)
	inForce := reaction.Throttle.Name != "" || reaction.Rule != "" && s.site.pace.active(now)
	switch {
	case s.succeeded && reaction.Rule != "", s.established && inForce:
		// It let us in, and the rule has seen to what it said.
	case s.succeeded:
		r.window, r.shrunk = max(1, r.window-1), true
		r.reason, r.cause = reason, reply
	case s.others() > 0:
		if reaction.Throttle.Name != ThrottleConnections {
			s.turnedAway(now, firstCrowd, cause{"", reason, reply})
		}
	default:
		s.pause(now, reason, reply)
	}
}

// hear has the rules react to the reply that ended the connection, if they have
// not done so to a recipient's.
func (s *Slot) hear(now time.Time, reply mail.Reply) Reaction {
	switch {
	case reply.IsZero():
		return Reaction{}
	case reply == s.reported:
		return s.reaction
	}
	return s.react(now, Outcome{Reply: reply, Category: s.shaper.options.Categorize(reply)})
}

// others are the connections of the route that hold.
func (s *Slot) others() int {
	others := s.route.established
	if s.established {
		others--
	}
	return others
}

const (
	// firstCrowd is how long the site keeps to the connections that hold before
	// it tries for one more.
	firstCrowd = 30 * time.Second
	// secondTurn is within what time another refusal confirms the first.
	secondTurn = 10 * time.Second
)

// turnedAway bounds the site to the connections that hold. One refusal below
// the number that held before may come of a server that has not noticed the end
// of a connection yet: the second counts.
func (s *Slot) turnedAway(now time.Time, keep time.Duration, why cause) {
	held := s.site
	before := held.turnedAwayAt
	held.turnedAwayAt = now
	others := held.established
	if s.established {
		others--
	}
	if held.crowd.active(now) && others < int(held.crowd.level) && now.Sub(before) > secondTurn {
		return
	}
	if held.crowd.active(now) && now.Before(held.crowd.since) && others >= int(held.crowd.level) {
		return // the same incident
	}
	held.crowded(now, float64(others+1), float64(others), keep, why)
}

// pause leaves the route alone.
func (s *Slot) pause(now time.Time, reason string, reply mail.Reply) {
	r := s.route
	r.failures++
	r.incidents++
	r.window, r.shrunk = 1, true
	r.until = now.Add(s.shaper.options.Backoff.pause(r.failures, s.shaper.options.Random()))
	r.reason, r.cause = reason, reply
}

// Close gives the slot back.
func (s *Slot) Close(now time.Time) {
	s.site.mu.Lock()
	s.settle(0)
	s.endProbe()
	s.site.active--
	s.route.active--
	if s.established {
		s.site.established--
		s.route.established--
	}
	if s.leaving {
		s.site.leaving--
	}
	last := s.site.active == 0
	s.site.mu.Unlock()
	if last {
		s.shaper.release(now, s.site)
	}
}

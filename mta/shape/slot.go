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

	// Guarded by site.mu.
	established, succeeded, failed bool
}

// Limits that hold for the connection.
func (s *Slot) Limits() Limits {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	return s.site.limits
}

// Wait says how long until the site takes another message; zero for now.
func (s *Slot) Wait(now time.Time) time.Duration {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	return s.site.rate.wait(now)
}

// Take counts one message, sent at now, and returns zero; or it counts nothing
// and says how long to wait before asking again.
func (s *Slot) Take(now time.Time) time.Duration {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	return s.site.rate.take(now)
}

// Establish notes that the server greeted us.
func (s *Slot) Establish() {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	if !s.established {
		s.established = true
		s.route.established++
	}
}

// Succeed notes that the server answered for a message, whatever it said: the
// site lives, so that its connections grow back, one for each round of them.
func (s *Slot) Succeed() {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	s.succeeded = true
	s.route.failures = 0
	if limit := float64(s.site.limits.Connections); s.route.window < limit {
		s.route.window = min(s.route.window+1/max(s.route.window, 1), limit)
	}
}

// Fail notes the end of a connection by failure, of the scope session or site;
// it counts once. One that had carried messages costs the route a connection.
// One that had not pauses it: for the first pause, down to the connections
// that hold, where there are some (the server has enough of us); otherwise for
// ever longer ones, each followed by one probe.
func (s *Slot) Fail(now time.Time, reason string, cause mail.Reply) {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	r := s.route
	if s.failed || s.incident != r.incidents {
		return
	}
	s.failed = true
	others := r.established
	if s.established {
		others--
	}
	if s.succeeded {
		r.window = max(1, r.window-1)
		return
	}
	if others == 0 {
		r.failures++
	}
	r.incidents++
	r.window = float64(max(1, others))
	r.until = now.Add(s.shaper.options.Backoff.pause(r.failures, s.shaper.options.Random()))
	r.reason, r.cause = reason, cause
}

// Close gives the slot back.
func (s *Slot) Close(now time.Time) {
	s.site.mu.Lock()
	s.site.active--
	s.route.active--
	if s.established {
		s.route.established--
	}
	last := s.site.active == 0
	s.site.mu.Unlock()
	if last {
		s.shaper.release(now, s.site)
	}
}

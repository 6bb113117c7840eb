package shape

import (
	"math"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// site is the state of one (source, site).
type site struct {
	key siteKey

	mu      sync.Mutex
	conduct conduct
	warm    *warmUp
	// active connections, those established among them, and those asked to go.
	active, established, leaving int
	// pending messages are not answered yet.
	pending int
	rate    meter
	tempo   tempo
	routes  map[string]*routeState

	// pace is what the provider lets us send in a second, crowd how many
	// connections it takes; nil as long as it never complained.
	pace, crowd *climb
	// inFlight are refusals to come of what was sent before the pace was cut,
	// until then.
	inFlight      int
	inFlightUntil time.Time
	// fruitless cuts of the pace without a message taken between them.
	fruitless int
	// turnedAwayAt is when a connection was last refused beside others that
	// work, without a reason to ask for fewer yet.
	turnedAwayAt time.Time

	// pauses by the rule that asked for them; the empty one is ours.
	pauses map[string]pause
	counts map[countKey][]time.Time
}

func newSite(key siteKey, c conduct, warm *warmUp) *site {
	return &site{key: key, conduct: c, warm: warm, rate: newMeter(c.limits.Rate), routes: map[string]*routeState{}}
}

// routeState is what was learned of one route.
type routeState struct {
	active, established int
	// window is how many connections the route gets: whole ones count.
	window float64
	// shrunk: failures took from the window what successes have not given back.
	shrunk bool
	// failures in a row, each one incident with however many connections it
	// took along.
	failures  int
	incidents uint64
	until     time.Time
	reason    string
	cause     mail.Reply
}

// route returns that of a name. One that nothing is known of gets one
// connection until its hosts have answered.
func (s *site) route(name string) *routeState {
	r, ok := s.routes[name]
	if !ok {
		r = &routeState{window: 1}
		s.routes[name] = r
	}
	return r
}

// connections is how many the site gets at now.
func (s *site) connections(now time.Time) int {
	limit := s.conduct.limits.Connections
	if s.crowd.active(now) {
		limit = min(limit, max(1, int(s.crowd.at(now))))
	}
	return limit
}

// perSecond is the rate in force; zero for none.
func (s *site) perSecond(now time.Time) float64 {
	limit := s.conduct.limits.Rate.perSecond()
	if !s.pace.active(now) {
		return limit
	}
	if pace := s.pace.at(now); limit == 0 || pace < limit {
		return pace
	}
	return limit
}

// meter returns the meter set to the rate in force.
func (s *site) meter(now time.Time) *meter {
	interval := s.conduct.limits.Rate.Interval()
	if s.pace.active(now) {
		interval = max(interval, time.Duration(float64(time.Second)/s.pace.at(now)))
	}
	s.rate.set(interval)
	return &s.rate
}

// paused says how long the site is still left alone as a whole.
func (s *site) paused(now time.Time) time.Duration {
	var longest time.Duration
	for _, p := range s.pauses {
		longest = max(longest, p.until.Sub(now))
	}
	return longest
}

// closed says how long nothing may be sent: for a pause, or the day's cap.
func (s *site) closed(now time.Time) time.Duration {
	return max(s.paused(now), s.warm.wait(now))
}

// wait says how long until another message may go.
func (s *site) wait(now time.Time) time.Duration {
	return max(s.closed(now), s.meter(now).wait(now))
}

// hold puts a pause in force, or lengthens the one of the same rule.
func (s *site) hold(rule string, p pause) {
	if s.pauses == nil {
		s.pauses = map[string]pause{}
	}
	if s.pauses[rule].until.Before(p.until) {
		s.pauses[rule] = p
	}
}

// shrink leaves each route one connection, to grow from there.
func (s *site) shrink() {
	for _, r := range s.routes {
		r.window, r.shrunk = 1, true
	}
}

// lowestPace is below what no provider is sent: one message a minute.
const lowestPace = 1.0 / 60

// slow lowers the pace to a share of what went out, for a while, and more with
// each refusal that follows although it was lowered. It returns false where the refusal is of something that was sent before the
// last time.
func (s *site) slow(now time.Time, factor float64, keep time.Duration, why cause) bool {
	if s.inFlight > 0 && now.Before(s.inFlightUntil) {
		s.inFlight--
		return false
	}
	limit := s.conduct.limits.Rate.perSecond()
	refused := max(s.tempo.perSecond(now), lowestPace)
	if in := s.perSecond(now); in > 0 {
		refused = min(refused, in)
	}
	if s.pace == nil {
		s.pace = &climb{}
	}
	top := limit
	if limit == 0 {
		top = max(2*refused, s.pace.top)
	}
	left := refused * math.Pow(factor, float64(s.pace.again(now)))
	s.pace.cut(now, refused, max(left, lowestPace), top, keep, why)
	s.inFlight, s.inFlightUntil = max(s.pending-1, 0), now.Add(30*time.Second)
	s.fruitless++
	return true
}

// crowded lowers the number of connections from what was refused to what is
// left.
func (s *site) crowded(now time.Time, refused, left float64, keep time.Duration, why cause) {
	if s.crowd == nil {
		s.crowd = &climb{}
	}
	s.crowd.cut(now, refused, max(left, 1), float64(s.conduct.limits.Connections), keep, why)
}

// accepted notes that a message was taken.
func (s *site) accepted() {
	s.fruitless = 0
	delete(s.pauses, "")
}

// idle drops the routes that are as good as new, and those last paused longer
// than keep ago, and reports that nothing is left to remember.
func (s *site) idle(now time.Time, keep time.Duration) bool {
	for name, r := range s.routes {
		fresh := r.failures == 0 && !r.shrunk
		if r.active == 0 && !r.until.After(now) && (fresh || now.Sub(r.until) >= keep) {
			delete(s.routes, name)
		}
	}
	for rule, p := range s.pauses {
		if !p.until.After(now) {
			delete(s.pauses, rule)
		}
	}
	s.forget(now)
	return s.active == 0 && len(s.routes)+len(s.pauses)+len(s.counts) == 0 &&
		!s.pace.active(now) && !s.crowd.active(now) && s.meter(now).full(now)
}

package delivery

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/source"
	"github.com/postrider-mta/postrider/queue"
)

// turn is how many recipients a connection serves before it makes room, where
// others wait for one.
const turn = 64

// site is everything that waits for one provider now. Sites come with work and
// go with it.
//
// Locks are taken in the order Engine.mu, site.mu, capacity.mu.
type site struct {
	engine *Engine
	name   string

	mu      sync.Mutex
	flows   map[flowKey]*flow
	ring    ring[*flow]
	outlets map[outletKey]*outlet
	lanes   map[laneKey]*lane
	// starved: a lane without any connection waits for a slot.
	starved bool
	timer   *time.Timer
	timerAt time.Time
}

// flowKey names who shares a site's capacity.
type flowKey struct{ tenant, stream string }

// flow is what one tenant's stream has waiting at a site.
type flow struct {
	member   *member[*flow]
	key      flowKey
	stocks   map[*lane]*stock
	supplies map[*outlet]*supply
}

// stock is what a flow has leased for one lane.
type stock struct{ leased []*queue.Delivery }

// waits reports that a flow has something for a lane: leased, or to be leased.
func (f *flow) waits(l *lane, now time.Time) bool {
	if st := f.stocks[l]; st != nil && len(st.leased) > 0 {
		return true
	}
	_, sup := f.supplyFor(l, now)
	return sup != nil
}

// supplyFor returns an outlet that the lane's workers can lease from for the
// flow; nil for none.
func (f *flow) supplyFor(l *lane, now time.Time) (*outlet, *supply) {
	for _, o := range l.outlets {
		if sup := f.supplies[o]; sup.waits(now) {
			return o, sup
		}
	}
	return nil, nil
}

// lane is one route of a site from one source: what one connection can serve.
type lane struct {
	site *site
	key  laneKey
	// route and choice are the latest.
	route  *route.Route
	choice source.Choice
	// outlets that the lane's workers lease from.
	outlets []*outlet
	// held: the rate is used up until then.
	held time.Time
	// hosts is the key without what is secret of a relay.
	hosts string
	// workers hold a slot each; the idle ones among them wait for work, those
	// that resigned take none any more.
	workers, resigned int
	idle              []*worker
	// dialing counts the workers that never had a connection yet; reach is how
	// many messages a round trip carries over all connections.
	dialing, reach int
	// leased counts over the stocks of all flows; stocks counts those.
	leased, stocks int
	// maxRecipients is what the server takes in one transaction.
	maxRecipients int
	// last says why the last connection failed; empty once one did not.
	last failure
}

type laneKey struct{ route, source string }

// backlog is a queue that has recipients due.
type backlog struct {
	key queue.Key
	// reports counts how often the queue was reported due; guarded by
	// Engine.mu. One that comes while Next runs is not lost that way.
	reports uint64
	// routed is when the route was looked up, swept when expired recipients
	// were last looked for.
	routed, swept time.Time
	outlet        *outlet
	// deep: when it was asked last it had more than was asked for.
	deep bool
}

func newSite(e *Engine, name string) *site {
	return &site{engine: e, name: name, flows: map[flowKey]*flow{}, outlets: map[outletKey]*outlet{}, lanes: map[laneKey]*lane{}}
}

func (l *lane) target() shape.Target { return l.site.target(l.key.source, l.hosts) }

func (s *site) target(from, hosts string) shape.Target {
	return shape.Target{Source: from, Site: s.name, Route: hosts}
}

// hostNames is what back-off is kept for: a host that fails a policy of some
// domains still serves the others.
func hostNames(r *route.Route) string {
	var names, demands []string
	for _, h := range r.Hosts {
		names = append(names, h.Name)
		if key := h.TLS.Key(); key != "" {
			demands = append(demands, "tls:"+strings.ReplaceAll(key, " ", "-"))
		}
	}
	slices.Sort(names)
	slices.Sort(demands)
	return strings.Join(append(names, slices.Compact(demands)...), " ")
}

// place adds a queue that has recipients due. The caller holds s.mu.
func (s *site) place(q *backlog, r *route.Route) {
	o := s.outletOf(q, r)
	key := flowKey{q.key.Tenant, q.key.Stream}
	sup := s.supplyOf(key, o)
	q.outlet = o
	sup.queue(q, o)
	if l, err := s.home(o, key); err != nil {
		s.park(sup, err)
	} else {
		s.kick(l)
	}
}

// send sends what was leased of a queue that has no outlet here. It returns what
// dispatch does. The caller holds s.mu.
func (s *site) send(q *backlog, r *route.Route, deliveries []*queue.Delivery) (back []*queue.Delivery, astray []stray) {
	o := s.outletOf(q, r)
	key := flowKey{q.key.Tenant, q.key.Stream}
	back, astray = s.dispatch(o, s.supplyOf(key, o), deliveries)
	s.trimSupply(s.flow(key), o)
	return back, astray
}

// flow returns that of a tenant's stream. The caller holds s.mu.
func (s *site) flow(key flowKey) *flow {
	f, ok := s.flows[key]
	if !ok {
		f = &flow{key: key, stocks: map[*lane]*stock{}, supplies: map[*outlet]*supply{}}
		f.member = s.ring.add(s.engine.options.Weight(key.tenant, key.stream), f)
		s.flows[key] = f
	}
	return f
}

// stock returns that of a flow for a lane. The caller holds s.mu.
func (s *site) stock(key flowKey, l *lane) *stock {
	f := s.flow(key)
	st, ok := f.stocks[l]
	if !ok {
		st = &stock{}
		f.stocks[l] = st
		l.stocks++
	}
	return st
}

// trim forgets what a flow has used up, and the flow with it. The caller holds
// s.mu.
func (s *site) trim(f *flow, l *lane) {
	if st := f.stocks[l]; st != nil && len(st.leased) == 0 {
		delete(f.stocks, l)
		l.stocks--
	}
	s.trimFlow(f)
	s.trimLane(l)
}

func (s *site) trimFlow(f *flow) {
	if len(f.stocks)+len(f.supplies) == 0 && s.flows[f.key] == f {
		s.ring.remove(f.member)
		delete(s.flows, f.key)
	}
}

// trimSupply forgets a supply that is used up, and what it leaves of no use.
// The caller holds s.mu.
func (s *site) trimSupply(f *flow, o *outlet) {
	if sup := f.supplies[o]; sup != nil && len(sup.queues) == 0 && sup.fetching == 0 {
		delete(f.supplies, o)
		o.supplies--
	}
	s.trimFlow(f)
	s.trimOutlet(o)
}

func (s *site) trimOutlet(o *outlet) {
	if o.supplies > 0 || s.outlets[o.key] != o {
		return
	}
	delete(s.outlets, o.key)
	for _, l := range o.lanes {
		l.outlets = slices.DeleteFunc(l.outlets, func(other *outlet) bool { return other == o })
		s.trimLane(l)
	}
	o.lanes = nil
}

func (s *site) trimLane(l *lane) {
	if l.stocks > 0 || l.workers > 0 || s.lanes[l.key] != l || len(l.outlets) > 0 {
		return
	}
	delete(s.lanes, l.key)
}

// empty reports that nothing holds the site any more. The caller holds s.mu.
func (s *site) empty() bool { return len(s.lanes) == 0 && len(s.flows) == 0 && len(s.outlets) == 0 }

// hands are the workers that take work.
func (l *lane) hands() int { return l.workers - l.resigned }

// wants reports whether one more worker would find enough to do. Connections
// grow with the work: each batch that is taken and leaves more than twice what
// one round trip carries brings in another. That is soon said of connections
// that carry one message a round trip, and seldom of those that carry many; and
// how many they carry is not known before they stand, so that no more are opened
// at once than there are, or two.
func (l *lane) wants() bool {
	hands := l.hands()
	switch {
	case len(l.idle) > 0:
		return false
	case hands == 0:
		return true
	case !l.deep() && l.leased < 2*l.reach, l.dialing >= max(2, hands-l.dialing):
		return false
	}
	return hands < useful(l.site.engine.options.Shaper.Limits(l.site.name))
}

// deep reports that some queue has more than was leased of it at once.
func (l *lane) deep() bool {
	return slices.ContainsFunc(l.outlets, func(o *outlet) bool { return o.deep > 0 })
}

// useful is the number of connections that a rate can keep busy: more would
// hold prepared messages and wait.
func useful(limits shape.Limits) int {
	interval := limits.Rate.Interval()
	if interval <= 0 {
		return limits.Connections
	}
	return min(limits.Connections, 1+int(5*time.Second/interval))
}

// kick sees to it that somebody serves the lane. The caller holds s.mu.
func (s *site) kick(l *lane) {
	if last := len(l.idle) - 1; last >= 0 {
		w := l.idle[last]
		l.idle = l.idle[:last]
		w.rouse()
		return
	}
	if l.wants() {
		s.spawn(l)
	}
}

// kickAll starts workers where they are wanted, in fair order. The caller
// holds s.mu.
func (s *site) kickAll() {
	s.starved = false
	refused := map[*lane]bool{}
	now := time.Now()
	for {
		var chosen *lane
		m := s.ring.pick(func(f *flow) bool {
			for _, l := range s.lanesOf(f, now) {
				if l.wants() && !refused[l] {
					chosen = l
					return true
				}
			}
			return false
		})
		if m == nil {
			return
		}
		if !s.spawn(chosen) {
			refused[chosen] = true
		}
	}
}

// lanesOf returns the lanes that could serve a flow now. The caller holds s.mu.
func (s *site) lanesOf(f *flow, now time.Time) []*lane {
	var all []*lane
	for l, st := range f.stocks {
		if len(st.leased) > 0 {
			all = append(all, l)
		}
	}
	for o, sup := range f.supplies {
		switch {
		case len(sup.queues) == 0:
			continue
		case sup.until.After(now):
			s.arm(sup.until)
			continue
		}
		if l, err := s.home(o, f.key); err != nil {
			s.park(sup, err)
		} else {
			all = append(all, l)
		}
	}
	return all
}

// spawn starts a worker for l if limits allow. Where they do not, somebody
// will kick again: the timer, or whoever gives a slot back. The caller holds
// s.mu.
func (s *site) spawn(l *lane) bool {
	e := s.engine
	if e.stopping() {
		return false
	}
	now := time.Now()
	if l.held.After(now) {
		s.arm(l.held)
		return false
	}
	slot, wait := e.options.Shaper.Connect(now, l.target())
	if slot == nil {
		if wait > 0 {
			s.arm(now.Add(wait))
		} else if l.hands() == 0 {
			s.makeRoom(l.key.source)
		}
		return false
	}
	if !e.capacity.acquire(s) {
		slot.Close(now)
		return false
	}
	w := newWorker(l, slot)
	if !e.launch(w.run) {
		slot.Close(now)
		e.capacity.release() // stopping: nobody in line is to start
		return false
	}
	l.workers++
	l.dialing++
	l.reach += w.reach
	return true
}

// connected notes that a worker has a connection, and brings in another where
// that is wanted: perhaps it waited for this one.
func (s *site) connected(w *worker, reach int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := w.lane
	l.last = failure{}
	s.settleIn(w)
	s.reaches(w, reach)
	now := time.Now()
	for _, f := range s.flows {
		if f.waits(l, now) {
			s.kick(l)
			return
		}
	}
}

// settleIn ends the time in which a worker never had a connection. The caller
// holds s.mu.
func (s *site) settleIn(w *worker) {
	if w.dialing {
		w.dialing = false
		w.lane.dialing--
	}
}

// extend notes how many messages a round trip carries over a connection.
func (s *site) extend(w *worker, reach int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reaches(w, reach)
}

func (s *site) reaches(w *worker, reach int) {
	if !w.resigned {
		w.lane.reach += reach - w.reach
		w.reach = reach
	}
}

// makeRoom sends an idle worker of a source home, or has the busy ones end
// their turn. The caller holds s.mu.
func (s *site) makeRoom(from string) {
	for _, l := range s.lanes {
		if l.key.source == from && len(l.idle) > 0 {
			w := l.idle[0]
			l.idle = l.idle[1:]
			w.dismiss()
			return
		}
	}
	s.starved = true
}

// arm sets the timer that kicks the site. The caller holds s.mu.
func (s *site) arm(at time.Time) {
	if s.timer != nil && !s.timerAt.After(at) {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timerAt = at
	s.timer = time.AfterFunc(time.Until(at), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.timer = nil
		s.kickAll()
	})
}

// wakeUp starts workers where they were refused before.
func (s *site) wakeUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kickAll()
}

// forfeit takes back everything leased for a lane that cannot be served for a
// while: what is not leased can be cancelled, expired and inspected. The
// caller holds s.mu and returns the leases after it let go.
func (s *site) forfeit(l *lane) []*queue.Delivery {
	var back []*queue.Delivery
	for _, f := range s.flows {
		if st := f.stocks[l]; st != nil {
			back = append(back, st.leased...)
			l.leased -= len(st.leased)
			st.leased = nil
			s.trim(f, l)
		}
	}
	return back
}

// resign notes that a worker takes no more: what comes while it ends its
// connection is for others.
func (s *site) resign(w *worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reaches(w, 0)
	w.resigned = true
	s.settleIn(w)
	w.lane.resigned++
	s.kickAll()
}

// leave ends a worker's part in the site.
func (s *site) leave(w *worker) {
	w.slot.Close(time.Now())
	s.mu.Lock()
	w.lane.workers--
	w.lane.resigned--
	w.lane.idle = slices.DeleteFunc(w.lane.idle, func(other *worker) bool { return other == w })
	s.trimLane(w.lane)
	s.kickAll()
	s.mu.Unlock()
	s.engine.tidy(s)
	s.engine.capacity.release()
	for next := s.engine.capacity.turn(); next != nil; next = s.engine.capacity.turn() {
		next.wakeUp()
	}
}

package delivery

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/shape"
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

	mu    sync.Mutex
	flows map[flowKey]*flow
	ring  ring[*flow]
	lanes map[string]*lane
	// starved: a lane without any connection waits for a slot.
	starved bool
	// held: the rate is used up until then.
	held    time.Time
	timer   *time.Timer
	timerAt time.Time
}

// flowKey names who shares a site's capacity.
type flowKey struct{ tenant, stream string }

// flow is what one tenant's stream has waiting at a site.
type flow struct {
	member *member[*flow]
	key    flowKey
	stocks map[*lane]*stock
}

// stock is what a flow has waiting for one lane: leased recipients, and queues
// to lease more from.
type stock struct {
	leased []*queue.Delivery
	queues []*backlog
	// fetching counts the queues that are being asked.
	fetching int
}

func (s *stock) waits() bool { return s != nil && len(s.leased)+len(s.queues) > 0 }

// lane is one route of a site: what one connection can serve.
type lane struct {
	site  *site
	route *route.Route
	key   string
	// hosts is the key without what is secret of a relay.
	hosts string
	// workers hold a slot each; the idle ones among them wait for work, those
	// that resigned take none any more.
	workers, resigned int
	idle              []*worker
	// leased counts over the stocks of all flows; stocks counts those.
	leased, stocks int
	// maxRecipients is what the server takes in one transaction.
	maxRecipients int
	// last says why the last connection failed; empty once one did not.
	last failure
}

// backlog is a queue that has recipients due.
type backlog struct {
	key queue.Key
	// reports counts how often the queue was reported due; guarded by
	// Engine.mu. One that comes while Next runs is not lost that way.
	reports uint64
	// routed is when the route was looked up, swept when expired recipients
	// were last looked for.
	routed, swept time.Time
	lane          *lane
}

func newSite(e *Engine, name string) *site {
	return &site{engine: e, name: name, flows: map[flowKey]*flow{}, lanes: map[string]*lane{}}
}

func (l *lane) target() shape.Target {
	return shape.Target{Source: l.site.engine.options.Source, Site: l.site.name, Route: l.hosts}
}

func hostNames(r *route.Route) string {
	names := make([]string, len(r.Hosts))
	for i, h := range r.Hosts {
		names[i] = h.Name
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// place adds a queue that has recipients due. The caller holds s.mu.
func (s *site) place(q *backlog, r *route.Route) {
	key := r.Key()
	l, ok := s.lanes[key]
	if !ok {
		l = &lane{site: s, key: key, hosts: hostNames(r), maxRecipients: s.engine.options.MaxRecipients}
		s.lanes[key] = l
	}
	l.route, q.lane = r, l
	st := s.stock(flowKey{q.key.Tenant, q.key.Stream}, l)
	st.queues = append(st.queues, q)
	s.kick(l)
}

// stock returns that of a flow for a lane. The caller holds s.mu.
func (s *site) stock(key flowKey, l *lane) *stock {
	f, ok := s.flows[key]
	if !ok {
		f = &flow{key: key, stocks: map[*lane]*stock{}}
		f.member = s.ring.add(s.engine.options.Weight(key.tenant, key.stream), f)
		s.flows[key] = f
	}
	st, ok := f.stocks[l]
	if !ok {
		st = &stock{}
		f.stocks[l] = st
		l.stocks++
	}
	return st
}

// trim forgets a stock that is used up, its flow and its lane with it. The
// caller holds s.mu.
func (s *site) trim(f *flow, l *lane) {
	if st := f.stocks[l]; st != nil && !st.waits() && st.fetching == 0 {
		delete(f.stocks, l)
		l.stocks--
	}
	if len(f.stocks) == 0 && s.flows[f.key] == f {
		s.ring.remove(f.member)
		delete(s.flows, f.key)
	}
	s.trimLane(l)
}

func (s *site) trimLane(l *lane) {
	if l.stocks == 0 && l.workers == 0 && s.lanes[l.key] == l {
		delete(s.lanes, l.key)
	}
}

// empty reports that nothing holds the site any more. The caller holds s.mu.
func (s *site) empty() bool { return len(s.lanes) == 0 && len(s.flows) == 0 }

// hands are the workers that take work.
func (l *lane) hands() int { return l.workers - l.resigned }

// wants reports whether one more worker would find enough to do. Connections
// grow with the work: each that takes some and leaves more than twice what
// there are hands brings in another.
func (l *lane) wants() bool {
	if len(l.idle) > 0 {
		return false
	}
	hands := l.hands()
	return hands == 0 || l.leased >= 2*hands && hands < useful(l.site.engine.options.Shaper.Limits(l.site.name))
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
	for {
		var chosen *lane
		m := s.ring.pick(func(f *flow) bool {
			for l, st := range f.stocks {
				if st.waits() && l.wants() && !refused[l] {
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

// spawn starts a worker for l if limits allow. Where they do not, somebody
// will kick again: the timer, or whoever gives a slot back. The caller holds
// s.mu.
func (s *site) spawn(l *lane) bool {
	e := s.engine
	if e.stopping() {
		return false
	}
	now := time.Now()
	if s.held.After(now) {
		s.arm(s.held)
		return false
	}
	slot, wait := e.options.Shaper.Connect(now, l.target())
	if slot == nil {
		if wait > 0 {
			s.arm(now.Add(wait))
		} else if l.hands() == 0 {
			s.makeRoom()
		}
		return false
	}
	if !e.capacity.acquire(s) {
		slot.Close(now)
		return false
	}
	if !e.launch(newWorker(l, slot).run) {
		slot.Close(now)
		e.capacity.release() // stopping: nobody in line is to start
		return false
	}
	l.workers++
	return true
}

// makeRoom sends an idle worker home, or has the busy ones end their turn. The
// caller holds s.mu.
func (s *site) makeRoom() {
	for _, l := range s.lanes {
		if len(l.idle) > 0 {
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

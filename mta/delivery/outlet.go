package delivery

import (
	"errors"
	"slices"
	"time"

	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/source"
	"github.com/postrider-mta/postrider/queue"
)

// laneShare is the share of what may be in flight that waits for one lane at
// most before others of the pool are asked: weights hold, but a source that is
// slow for long must not hold what they could send.
const laneShare = 16

// parking is how long queues without a source wait where nobody knows when one
// is back.
const parking = time.Minute

// outlet is one route of a site by one pool: its queues are leased from by the
// workers of every source that was chosen for it.
type outlet struct {
	site *site
	key  outletKey
	// route as it was found, demand what its queues ask beside, and leg what
	// comes of both: one message may ask for more.
	route  *route.Route
	demand route.Demand
	leg    leg
	lanes  []*lane
	// supplies counts those of all flows, deep the queues that have more than was
	// leased of them at once.
	supplies, deep int
}

type outletKey struct{ route, pool string }

// leg is a route under what is asked of it, with what is made of it again and
// again.
type leg struct {
	route *route.Route
	key   string
	hosts string
	reach source.Families
}

func newLeg(r *route.Route) leg {
	made := leg{route: r, key: r.Key(), hosts: hostNames(r)}
	for i := range r.Hosts {
		for _, a := range r.Hosts[i].Addrs {
			made.reach |= source.FamilyOf(a.Addr())
		}
	}
	return made
}

// supply is what a flow has waiting at an outlet: queues to lease from.
type supply struct {
	queues []*backlog
	// fetching counts the queues that are being asked.
	fetching int
	// until is the end of a pause of the tenant, or when a source may be back;
	// the queues wait for it.
	until time.Time
}

func (s *supply) waits(now time.Time) bool {
	return s != nil && len(s.queues) > 0 && !s.until.After(now)
}

// queue lines up q to be leased from.
func (s *supply) queue(q *backlog, o *outlet) {
	s.queues = append(s.queues, q)
	if q.deep {
		o.deep++
	}
}

// unqueue takes the first queue in line.
func (s *supply) unqueue(o *outlet) *backlog {
	q := s.queues[0]
	s.queues = s.queues[1:]
	if q.deep {
		o.deep--
	}
	return q
}

// outletOf returns the outlet of a queue. The caller holds s.mu.
func (s *site) outletOf(q *backlog, r *route.Route) *outlet {
	demand := s.engine.options.Demand(q.key)
	pool := s.engine.options.Sources.PoolOf(q.key.Tenant, q.key.Stream, "")
	made := newLeg(r.Under(demand))
	key := outletKey{made.key, pool}
	o, ok := s.outlets[key]
	if !ok {
		o = &outlet{site: s, key: key}
		s.outlets[key] = o
	}
	o.route, o.demand, o.leg = r, demand, made
	return o
}

// supplyOf returns that of a flow at an outlet. The caller holds s.mu.
func (s *site) supplyOf(key flowKey, o *outlet) *supply {
	f := s.flow(key)
	sup, ok := f.supplies[o]
	if !ok {
		sup = &supply{}
		f.supplies[o] = sup
		o.supplies++
	}
	return sup
}

// choose returns the lane that a recipient leaves by. The caller holds s.mu.
func (s *site) choose(o *outlet, d *queue.Delivery) (*lane, error) {
	by := o.leg
	if demand := o.demand.With(&d.Message.Envelope); demand != o.demand {
		by = newLeg(o.route.Under(demand))
	}
	pool, diverted := d.Message.Pool, false
	if to := s.engine.options.Divert(d); to != "" {
		pool, diverted = to, true
	}
	return s.laneFor(o, by, s.engine.options.Sources.Choose, source.Request{
		Tenant: d.Message.Tenant, Stream: d.Message.Stream, Pool: pool, Diverted: diverted,
		Message: d.Message.ID.String(), Recipient: d.Index,
	})
}

// home returns the lane whose worker is to lease from an outlet where none
// does: that of a source which can send now, if there is one. The caller holds
// s.mu.
func (s *site) home(o *outlet, key flowKey) (*lane, error) {
	return s.laneFor(o, o.leg, s.engine.options.Sources.Look, source.Request{Tenant: key.tenant, Stream: key.stream, Message: s.name})
}

type chooser func(time.Time, source.Request) (source.Choice, error)

func (s *site) laneFor(o *outlet, by leg, choose chooser, request source.Request) (*lane, error) {
	now := time.Now()
	key := laneKey{route: by.key}
	request.Site, request.Reach = s.name, by.reach
	limits := s.engine.options.Shaper.Limits(s.name)
	// An unknown name is none of ours: it asks for nothing.
	request.Preference, _ = source.ParsePreference(string(limits.Family))
	request.Full = func(name string) bool {
		key.source = name
		return s.full(now, key, by.hosts)
	}
	choice, err := choose(now, request)
	if err != nil {
		return nil, err
	}
	key.source = choice.Source.Name
	l, ok := s.lanes[key]
	if !ok {
		l = &lane{site: s, key: key, hosts: by.hosts, maxRecipients: s.engine.options.MaxRecipients}
		if most := limits.RecipientsPerTransaction; most > 0 {
			l.maxRecipients = min(l.maxRecipients, most)
		}
		s.lanes[key] = l
	}
	l.route, l.choice = by.route, choice
	if !slices.Contains(o.lanes, l) {
		o.lanes, l.outlets = append(o.lanes, l), append(l.outlets, o)
	}
	return l, nil
}

// full reports that a source has enough waiting at the site, or cannot send
// there for now.
func (s *site) full(now time.Time, key laneKey, hosts string) bool {
	if l := s.lanes[key]; l != nil && (l.leased >= s.engine.options.MaxInFlight/laneShare || l.held.After(now)) {
		return true
	}
	return s.engine.options.Shaper.Paused(now, s.target(key.source, hosts)) > 0
}

// park has the queues of a supply wait until a source may be back. The caller
// holds s.mu.
func (s *site) park(sup *supply, cause error) {
	now := time.Now()
	sup.until = now.Add(parking)
	if none := (*source.Error)(nil); errors.As(cause, &none) && none.Until.After(now) {
		sup.until = none.Until
	}
	s.arm(sup.until)
}

// dispatch gives what was leased of a queue to the lanes that it leaves by. It
// returns what is to be given back since no source can send it now, and what no
// source ever may. The caller holds s.mu.
func (s *site) dispatch(o *outlet, sup *supply, deliveries []*queue.Delivery) (back []*queue.Delivery, astray []stray) {
	for _, d := range deliveries {
		l, err := s.choose(o, d)
		switch {
		case err == nil:
			st := s.stock(flowKey{d.Message.Tenant, d.Message.Stream}, l)
			st.leased = append(st.leased, d)
			l.leased++
		case d.Message.Pool == "" && s.engine.options.Divert(d) == "" && errors.Is(err, source.ErrNoSource):
			back = append(back, d)
			s.park(sup, err)
		default:
			astray = append(astray, stray{d, err})
		}
	}
	for _, l := range o.lanes {
		if l.leased > 0 {
			s.kick(l)
		}
	}
	return back, astray
}

// stray is a recipient whose message asks for a source that it cannot have.
type stray struct {
	delivery *queue.Delivery
	err      error
}

// wait sends strays back, without an attempt counted: none was made.
func (e *Engine) wait(siteName string, astray []stray) {
	for _, s := range astray {
		why, until := failure{reason: s.err.Error()}, time.Time{}
		if none := (*source.Error)(nil); errors.As(s.err, &none) {
			why.reply, until = none.Reply(), none.Until
		}
		e.suspend(s.delivery, via{site: siteName}, why, until)
	}
}

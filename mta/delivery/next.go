package delivery

import (
	"time"

	"github.com/postrider-mta/postrider/queue"
)

// lookAhead is how far the leased recipients are searched for more of the same
// message.
const lookAhead = 4 * fetchSize

// lowWater is how few leased recipients let a worker fetch more, while the
// others go on with those: a flow must not lose its turn for want of any.
const lowWater = 16

// maxHeld bounds how long a site waits for its rate before it asks again: the
// limits may have changed.
const maxHeld = time.Minute

// next waits for what w is to send next: recipients of one message that one
// transaction can carry. It returns nil when w is to go: for lack of work, to
// make room, or because the engine stops.
func (s *site) next(w *worker) *batch {
	for {
		s.mu.Lock()
		if s.engine.stopping() || w.dismissed.Load() || w.overstays() {
			s.mu.Unlock()
			return nil
		}
		now := time.Now()
		m := s.ring.pick(func(f *flow) bool { return f.waits(w.lane, now) })
		if m == nil {
			w.lane.idle = append(w.lane.idle, w)
			s.mu.Unlock()
			if !w.idle() {
				return nil
			}
			continue
		}
		if wait := w.slot.Wait(now); wait > 0 {
			back := s.throttled(w.lane, wait)
			s.mu.Unlock()
			s.engine.giveBack(back)
			if wait > s.engine.options.IdleTimeout || !w.pause(wait) {
				return nil
			}
			continue
		}
		st := m.value.stocks[w.lane]
		if o, sup := m.value.supplyFor(w.lane, now); sup != nil && (st.empty() || st.low() && sup.fetching == 0 && s.engine.room()) {
			s.fetch(m.value, o) // unlocks
			continue
		}
		b := s.take(m, w.lane)
		s.mu.Unlock()
		return b
	}
}

func (st *stock) empty() bool { return st == nil || len(st.leased) == 0 }

func (st *stock) low() bool { return len(st.leased) < lowWater }

// throttled prepares for a wait: after a long one the timer brings the lane
// back, and what is leased for it must not wait along. The caller holds s.mu.
func (s *site) throttled(l *lane, wait time.Duration) []*queue.Delivery {
	if wait <= s.engine.options.IdleTimeout {
		return nil
	}
	l.held = time.Now().Add(min(wait, maxHeld))
	s.arm(l.held)
	return s.forfeit(l)
}

// fetch leases more of the queue that is first in line, and gives it to the
// lanes that it leaves by. The caller holds s.mu, which fetch gives up.
func (s *site) fetch(f *flow, o *outlet) {
	e := s.engine
	sup := f.supplies[o]
	if pause, blocked := e.options.Shaper.Blocked(time.Now(), s.target("", ""), f.key.tenant, ""); blocked {
		sup.until = pause.Until
		s.arm(pause.Until)
		s.mu.Unlock()
		return
	}
	if _, err := s.home(o, f.key); err != nil {
		s.park(sup, err)
		s.mu.Unlock()
		return
	}
	q := sup.unqueue(o)
	sup.fetching++
	s.mu.Unlock()

	var deliveries []*queue.Delivery
	more := false
	if time.Since(q.routed) > routeAge {
		e.mu.Lock()
		e.routeLater(q)
		e.mu.Unlock()
	} else {
		deliveries, more = e.lease(e.life.soft(), q, fetchSize)
	}

	s.mu.Lock()
	sup.fetching--
	back, astray := s.dispatch(o, sup, deliveries)
	if more {
		q.deep = len(deliveries) >= fetchSize
		sup.queue(q, o)
	}
	s.trimSupply(f, o)
	s.mu.Unlock()
	e.giveBack(back)
	e.wait(s.name, astray)
}

// take removes the first recipient of a stock, with more of the same message
// if all get the same bytes, and brings in another hand if much is left. The
// caller holds s.mu.
func (s *site) take(m *member[*flow], l *lane) *batch {
	st := m.value.stocks[l]
	first := st.leased[0]
	b := &batch{lane: l, deliveries: []*queue.Delivery{first}}
	if len(st.leased) > 1 && l.maxRecipients > 1 && s.engine.options.Renderer.Shared(first.Message) {
		st.collect(b, l.maxRecipients)
	} else {
		st.leased[0] = nil
		st.leased = st.leased[1:]
	}
	l.leased -= len(b.deliveries)
	s.ring.charge(m, len(b.deliveries))
	left := m.value.waits(l, time.Now())
	s.trim(m.value, l)
	if left {
		s.kick(l)
	}
	return b
}

// collect moves the recipients of the first one's message into b, up to limit.
func (st *stock) collect(b *batch, limit int) {
	b.deliveries = b.deliveries[:0]
	id := st.leased[0].Message.ID
	kept := st.leased[:0]
	for i, d := range st.leased {
		if len(b.deliveries) == limit || i >= lookAhead {
			kept = append(kept, st.leased[i:]...)
			break
		}
		if d.Message.ID == id {
			b.deliveries = append(b.deliveries, d)
		} else {
			kept = append(kept, d)
		}
	}
	clear(st.leased[len(kept):])
	st.leased = kept
}

// putBack returns recipients of a batch to the head of the line, to be sent
// at once: the server took only some of them.
func (s *site) putBack(l *lane, deliveries []*queue.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := deliveries[0].Message
	st := s.stock(flowKey{first.Tenant, first.Stream}, l)
	st.leased = append(deliveries, st.leased...)
	l.leased += len(deliveries)
	s.kick(l)
}

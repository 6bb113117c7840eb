package boltqueue

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/postrider-mta/postrider/queue"
)

const (
	// overdue is the due time of what has expired in a queue that is shut: it
	// comes before all others, and is offered all the same.
	overdue = 0
	// asideBatch is how many recipients one call of Next sets aside at most.
	asideBatch = 1000
	// asideRest is how long a queue then rests, where checkpoints are behind.
	asideRest = 100 * time.Millisecond
	// sweepBatch is how many recipients of a shut queue one call of Next looks
	// at for their expiry.
	sweepBatch = 2000
	// sweepShare bounds the share of the time that is spent so: 1 in so many.
	sweepShare = 10
)

// gate is what a queue has to pass beside the due times. Everything in it is
// guarded by Store.mu.
type gate struct {
	// shut is until when the queue is not offered; zero while it is open.
	shut int64
	// expires is when the first recipient in the queue expires, or before.
	expires int64
	// sweepAfter is when a shut queue may be searched for expired recipients
	// again, sweepFrom how far a search has come, and sweepFound the earliest
	// expiry that it has met. sweeping: one is under way.
	sweepAfter, sweepFound int64
	sweepFrom              recipientKey
	sweepBegan             time.Time
	sweeping               bool
}

// wakeTime returns when the queue is to be reported.
func (q *queueState) wakeTime() int64 {
	due := q.nextDue()
	switch {
	case q.shut <= due:
		return due
	case q.hasOverdue():
		return overdue
	}
	return min(q.shut, max(q.expires, q.sweepAfter))
}

func (q *queueState) hasOverdue() bool { return len(q.head) > 0 && q.head[0].due == overdue }

// bound takes note of a message in the queue.
func (q *queueState) bound(m *queue.Message) {
	end := expiry(m)
	q.expires, q.sweepFound = min(q.expires, end), min(q.sweepFound, end)
}

func expiry(m *queue.Message) int64 {
	if m.Expires.IsZero() {
		return never
	}
	return nanoseconds(m.Expires)
}

// look decides anew whether a queue is open. A window is looked at again and
// again, since the clock and the configuration may change.
func (s *Store) look(q *queueState, now time.Time) {
	q.shut = 0
	if s.holds.ofQueue(q.key) != nil {
		q.shut = never
		return
	}
	if opens := s.opens(q.key, now); !opens.IsZero() {
		q.shut = min(nanoseconds(opens), nanoseconds(now.Add(longestSleep)))
	}
}

// opens returns when a queue's window opens; zero if it is open.
func (s *Store) opens(key queue.Key, now time.Time) time.Time {
	if s.options.Opens == nil {
		return time.Time{}
	}
	if opens := s.options.Opens(key, now); opens.After(now) {
		return opens
	}
	return time.Time{}
}

// Recheck asks Options.Opens at once about the queues that are shut, where it
// may answer otherwise now.
func (s *Store) Recheck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reopen()
}

// reopen forgets why queues are shut, so that they are looked at again.
// Store.mu is held.
func (s *Store) reopen() {
	for _, q := range s.byID {
		if q.shut != 0 {
			q.shut = 0
			s.reschedule(q)
		}
	}
}

// followClock forgets times reckoned from a clock that has since gone back.
// Store.mu is held.
func (s *Store) followClock(now int64) {
	back := now < s.clock-int64(time.Second)
	s.clock = now
	if !back {
		return
	}
	for _, q := range s.byID {
		q.shut, q.sweepAfter, q.notBefore = 0, 0, 0
		s.reschedule(q)
	}
}

// leaseOverdue leases of a shut queue what has expired.
func (s *Store) leaseOverdue(q *queueState, limit int) []*queue.Delivery {
	var deliveries []*queue.Delivery
	for len(deliveries) < limit && q.hasOverdue() {
		if !s.withdraw(q.head[0]) {
			deliveries = append(deliveries, s.leaseFirst(q))
		}
	}
	return deliveries
}

// leaseFirst leases the first recipient of the head.
func (s *Store) leaseFirst(q *queueState) *queue.Delivery {
	e := q.head[0]
	s.leaveHead(e)
	if e.aside != 0 {
		e.due, e.aside = e.aside, 0
	}
	e.state = leased
	q.leased++
	return e.delivery()
}

// heldBack reports whether a due recipient is held by itself.
func (s *Store) heldBack(e *entry, now time.Time) bool {
	return len(s.holds.finer) > 0 && !e.message.shared.Expired(now) &&
		s.holds.ofRecipient(e.message.shared, e.recipient.Address) != nil
}

// asideRoom is how many recipients may be set aside now, as each changes in
// memory until a checkpoint has taken it.
func (s *Store) asideRoom() int {
	return min(asideBatch, max(0, overload*s.options.CheckpointChanges-len(s.dirtyEntries.things)))
}

// longestAside bounds how long a recipient is set aside at once.
const longestAside = 6 * time.Hour

// setAside lets a due recipient that is held wait until it is looked at again.
// It is no attempt, and nothing that a crash must not undo: no record is
// written. It waits as long as it has waited since it was due: its release
// takes it up, and each look writes its row again.
func (s *Store) setAside(e *entry, now time.Time) {
	s.leaveHead(e)
	if e.aside == 0 {
		e.aside = max(e.due, 1)
	}
	pause := min(now.Sub(fromNanoseconds(e.aside)), longestAside)
	pause = max(pause, s.options.RecheckInterval)
	until := now.Add(pause + rand.N(pause/5+1))
	e.due = clampDue(e.message.shared, until)
	s.dirtyEntries.add(e)
	s.wait(e)
}

// restAfter lets a queue rest from setting aside while more has changed in
// memory than checkpoints have taken.
func (s *Store) restAfter(q *queueState, now time.Time) {
	if len(s.dirtyEntries.things) < s.options.CheckpointChanges {
		return
	}
	s.checkpoints.request()
	q.shut = nanoseconds(now.Add(asideRest))
	q.sweepAfter = max(q.sweepAfter, q.shut)
}

// sweep looks through a part of a shut queue for what has expired. It is due
// when something may have; what it finds comes first in the head.
func (s *Store) sweep(ctx context.Context, key queue.Key) error {
	now := s.options.Now()
	q, from, ok := s.beginSweep(key, now)
	if !ok {
		return nil
	}
	r := keyRange{id: q.id, after: from, exclusive: from != recipientKey{}}
	seen := 0
	_, err := s.walkQueue(ctx, r, queue.Selector{}, func(f *found) bool {
		seen++
		q.sweepFrom = f.key
		s.sweepOne(q, f, now)
		return seen < sweepBatch
	})
	s.endSweep(q, err == nil && seen < sweepBatch)
	if err != nil && s.restSweep(q, err, now) {
		return nil
	}
	return err
}

func (s *Store) beginSweep(key queue.Key, now time.Time) (*queueState, recipientKey, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byKey[key]
	if q == nil || s.closed || q.sweeping || q.hasOverdue() {
		return nil, recipientKey{}, false
	}
	s.look(q, now)
	if q.shut == 0 || max(q.expires, q.sweepAfter) > nanoseconds(now) {
		return nil, recipientKey{}, false
	}
	if q.sweepFrom == (recipientKey{}) {
		q.sweepBegan, q.sweepFound = now, never
	}
	q.sweeping = true
	return q, q.sweepFrom, true
}

// sweepOne looks at one recipient. Store.mu is held.
func (s *Store) sweepOne(q *queueState, f *found, now time.Time) {
	if s.cancelOf(f) != nil {
		return
	}
	end := expiry(f.message())
	q.sweepFound = min(q.sweepFound, end)
	if end > nanoseconds(now) {
		return
	}
	e := f.entry
	switch {
	case e == nil:
		e = s.adopt(f.row)
	case e.state != waiting || e.due == overdue:
		return
	}
	s.leaveHead(e)
	e.due, e.aside = overdue, 0
	s.wait(e)
}

// endSweep plans the next search if this one has seen all.
func (s *Store) endSweep(q *queueState, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.sweeping = false
	if !all {
		return
	}
	now := s.options.Now()
	pause := sweepShare * max(now.Sub(q.sweepBegan), 0)
	if q.sweepFound <= nanoseconds(now) {
		pause = max(pause, time.Second)
	}
	q.expires, q.sweepAfter = q.sweepFound, nanoseconds(now.Add(pause))
	q.sweepFrom = recipientKey{}
}

package boltqueue

import (
	"math"

	"github.com/postrider-mta/postrider/queue"
)

// never is later than every due time.
const never = math.MaxInt64

// queueState is the one entry that memory holds for each queue. Everything in
// it is guarded by Store.mu.
type queueState struct {
	id  uint64
	key queue.Key
	// count of owed recipients, leased of those on a lease.
	count, leased int
	// prompt and timed are the rows that have no entry in memory.
	prompt, timed run
	head          head
	// first is the chain of all entries in memory.
	first *entry
	// pins keeps the queue's number for accepts on their way to disk.
	pins int
	// notBefore holds the rows back after a crash.
	notBefore int64
	// wake is when something is due; heapIndex the place in the schedule.
	wake      int64
	heapIndex int
	gate
	// reported: Ready named the queue and Next has not found it empty since.
	reported bool
}

// run is a part of a queue's rows in an order of their own: those that are
// prompt, by their keys, or the others, by the due index.
type run struct {
	// unloaded counts the rows that have no entry in memory; those are all at
	// or behind horizon.
	unloaded int
	horizon  mark
}

// before reports whether rows of the run come before those of another.
func (r *run) before(other *run) bool {
	return r.unloaded > 0 && (other.unloaded == 0 || r.horizon.before(other.horizon))
}

// lower takes note of a row without an entry at m.
func (r *run) lower(m mark) {
	if r.unloaded == 0 || m.before(r.horizon) {
		r.horizon = m
	}
	r.unloaded++
}

// nearest returns the run whose rows come first.
func (q *queueState) nearest() *run {
	if q.prompt.before(&q.timed) {
		return &q.prompt
	}
	return &q.timed
}

// run returns the run that a row is in.
func (q *queueState) run(m mark) *run {
	if m.prompt() {
		return &q.prompt
	}
	return &q.timed
}

// lower takes note of a row without an entry.
func (q *queueState) lower(m mark) {
	if m.prompt() {
		q.prompt.lower(m.bornMark())
	} else {
		q.timed.lower(m)
	}
}

// unloaded counts the rows that have no entry in memory.
func (q *queueState) unloaded() int { return q.prompt.unloaded + q.timed.unloaded }

// nextDue returns when the next waiting recipient is due. It is exact where
// nothing is unloaded and never too late.
func (q *queueState) nextDue() int64 {
	due := int64(never)
	if len(q.head) > 0 {
		due = q.head[0].due
	}
	if r := q.nearest(); r.unloaded > 0 {
		due = min(due, max(r.horizon.due, q.notBefore))
	}
	return due
}

// rowsFirst reports whether rows that are not in memory are due by now and may
// come before m.
func (q *queueState) rowsFirst(m mark, now int64) bool {
	r := q.nearest()
	return r.unloaded > 0 && max(r.horizon.due, q.notBefore) <= now && !m.before(r.horizon)
}

func (q *queueState) link(e *entry) {
	e.previous, e.next = nil, q.first
	if q.first != nil {
		q.first.previous = e
	}
	q.first = e
}

func (q *queueState) unlink(e *entry) {
	if e.previous != nil {
		e.previous.next = e.next
	} else {
		q.first = e.next
	}
	if e.next != nil {
		e.next.previous = e.previous
	}
	e.previous, e.next = nil, nil
}

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
	// unloaded counts the rows that have no entry in memory; those are all at
	// or behind horizon in the due order.
	unloaded int
	horizon  mark
	head     head
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

// nextDue returns when the next waiting recipient is due. It is exact where
// nothing is unloaded and never too late.
func (q *queueState) nextDue() int64 {
	due := int64(never)
	if len(q.head) > 0 {
		due = q.head[0].due
	}
	if q.unloaded > 0 {
		due = min(due, max(q.horizon.due, q.notBefore))
	}
	return due
}

// rowsFirst reports whether rows that are not in memory are due by now and may
// come before m.
func (q *queueState) rowsFirst(m mark, now int64) bool {
	return q.unloaded > 0 && max(q.horizon.due, q.notBefore) <= now && !m.before(q.horizon)
}

// lower takes note of a row without an entry at m.
func (q *queueState) lower(m mark) {
	if q.unloaded == 0 || m.before(q.horizon) {
		q.horizon = m
	}
	q.unloaded++
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

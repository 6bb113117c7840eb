package boltqueue

import (
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// message is a message in memory: one that changed since the last checkpoint,
// or that an entry in memory belongs to.
type message struct {
	shared   *queue.Message
	position journal.Position
	bytes    int64
	owed     int
	queues   queueList
	// users counts what keeps the message in memory beside its dirt: entries,
	// and a move under way.
	users int
	dirt
}

// state is where a recipient stands.
type state uint8

const (
	// waiting: in its queue's head.
	waiting state = iota
	// leased: handed out by Next.
	leased
	// settling: leased, its outcome on the way to disk.
	settling
	// claimed: waiting, but a cancel or retry of it is on the way to disk.
	claimed
	// gone: ended; the entry lives until the checkpoint has taken its row.
	gone
)

// entry is a recipient in memory. Everything in it is guarded by Store.mu.
type entry struct {
	message   *message
	queue     *queueState
	recipient mail.Recipient
	due       int64
	// aside is when it was due before a hold set it aside; zero for others.
	aside int64
	// last is the encoded event of the last deferral.
	last     []byte
	index    uint32
	attempts uint32
	state    state
	// heapIndex is the place in the queue's head, negative outside.
	heapIndex int
	// previous and next link the entries of a queue that are in memory.
	previous, next *entry
	dirt
}

// dirt says how a thing in memory differs from its row.
type dirt struct {
	// stored: there is a row, as of the last checkpoint.
	stored bool
	// frozen: the running checkpoint is writing it.
	frozen bool
	// place is one more than the index in the list of dirty things; zero: the
	// thing is as its row.
	place int
}

func (e *entry) key() recipientKey { return recipientKey{e.message.shared.ID, e.index} }

func (e *entry) mark() mark { return mark{e.due, e.key()} }

// held reports whether somebody has the entry on a lease.
func (e *entry) held() bool { return e.state == leased || e.state == settling }

func (e *entry) row() recipientRow {
	return recipientRow{due: e.due, attempts: e.attempts, recipient: e.recipient, last: e.last, aside: e.aside}
}

func (e *entry) delivery() *queue.Delivery {
	return &queue.Delivery{
		Message: e.message.shared, Index: int(e.index), Recipient: e.recipient,
		Attempts: int(e.attempts), Due: fromNanoseconds(shownDue(e.due, e.aside, e.message.shared)),
	}
}

// shownDue returns when a recipient is due to those who look on: holds and
// expiry change the order in which it is found, not that.
func shownDue(due, aside int64, m *queue.Message) int64 {
	switch {
	case aside != 0:
		return aside
	case due == overdue && !m.Expires.IsZero():
		return nanoseconds(m.Expires)
	}
	return due
}

// dirtyList holds things that differ from their rows; adding and removing
// take constant time.
type dirtyList[T any] struct {
	things []T
	dirt   func(T) *dirt
}

func (l *dirtyList[T]) add(thing T) {
	if d := l.dirt(thing); d.place == 0 {
		l.things = append(l.things, thing)
		d.place = len(l.things)
	}
}

func (l *dirtyList[T]) remove(thing T) {
	d := l.dirt(thing)
	if d.place == 0 {
		return
	}
	end := len(l.things) - 1
	moved := l.things[end]
	l.things[d.place-1] = moved
	l.dirt(moved).place = d.place
	var none T
	l.things[end] = none
	l.things = l.things[:end]
	d.place = 0
}

// takeAll empties the list, marks its things frozen and gives each to take.
// The list keeps its room: it will be as long again.
func (l *dirtyList[T]) takeAll(take func(T)) {
	for _, thing := range l.things {
		d := l.dirt(thing)
		d.place, d.frozen = 0, true
		take(thing)
	}
	clear(l.things)
	l.things = l.things[:0]
}

package boltqueue

import (
	"time"

	"github.com/postrider-mta/postrider/queue"
)

// memory is what the store holds between disk and caller. Every method wants
// Store.mu held.
type memory struct {
	messages map[queue.ID]*message
	entries  map[recipientKey]*entry
	byKey    map[queue.Key]*queueState
	byID     map[uint64]*queueState
	// joined are the numbers of queues that became part of others in a replay.
	joined map[uint64]uint64
	// nextQueue numbers the next new queue.
	nextQueue uint64
	schedule  schedule
	segments  map[uint32]segmentRow
	// changedSegments are those whose row is out of date.
	changedSegments map[uint32]bool

	dirtyEntries  dirtyList[*entry]
	dirtyMessages dirtyList[*message]

	recipients, owedMessages int64
	// usage is what each tenant has waiting.
	usage   map[string]*tally
	holds   holds
	cancels cancels
	// filled counts the queues that hold anything.
	filled int
	// heads counts the entries that wait in heads.
	heads int
	// changed is closed and replaced when a queue's wake time came closer and
	// somebody listens.
	changed   chan struct{}
	listening bool
}

func newMemory() memory {
	return memory{
		messages: map[queue.ID]*message{}, entries: map[recipientKey]*entry{},
		byKey: map[queue.Key]*queueState{}, byID: map[uint64]*queueState{}, nextQueue: 1,
		joined:   map[uint64]uint64{},
		segments: map[uint32]segmentRow{}, changedSegments: map[uint32]bool{},
		dirtyEntries:  dirtyList[*entry]{dirt: func(e *entry) *dirt { return &e.dirt }},
		dirtyMessages: dirtyList[*message]{dirt: func(m *message) *dirt { return &m.dirt }},
		changed:       make(chan struct{}),
		usage:         map[string]*tally{},
	}
}

// queueFor returns the queue of a key, a new one if need be.
func (m *memory) queueFor(key queue.Key) *queueState {
	if q := m.byKey[key]; q != nil {
		return q
	}
	return m.addQueue(m.nextQueue, key)
}

func (m *memory) addQueue(id uint64, key queue.Key) *queueState {
	q := &queueState{id: id, key: key, heapIndex: -1, wake: never, gate: gate{expires: never, sweepFound: never}}
	m.byID[id], m.byKey[key] = q, q
	m.nextQueue = max(m.nextQueue, id+1)
	return q
}

// grow changes how many recipients a queue holds.
func (m *memory) grow(q *queueState, by int) {
	if q.count == 0 {
		m.filled++
	}
	q.count += by
	m.recipients += int64(by)
	if q.count == 0 {
		m.filled--
	}
}

// release forgets a queue that holds nothing and that nobody is about to fill.
func (m *memory) release(q *queueState) {
	if q.count > 0 || q.pins > 0 || q.reported {
		return
	}
	m.schedule.set(q, false)
	delete(m.byID, q.id)
	if m.byKey[q.key] == q {
		delete(m.byKey, q.key)
	}
}

// reschedule follows a change of the queue's head.
func (m *memory) reschedule(q *queueState) {
	due := q.wakeTime()
	before := m.schedule.earliest()
	q.wake = due
	m.schedule.set(q, !q.reported && due != never)
	if m.schedule.earliest() < before {
		m.announce()
	}
}

// announce wakes whoever waits in Ready.
func (m *memory) announce() {
	if m.listening {
		close(m.changed)
		m.changed = make(chan struct{})
		m.listening = false
	}
}

// addEntry puts a recipient into memory; it is in no head yet.
func (m *memory) addEntry(msg *message, q *queueState, index uint32, row recipientRow) *entry {
	e := &entry{
		message: msg, queue: q, index: index, recipient: row.recipient,
		due: row.due, attempts: row.attempts, last: row.last, heapIndex: -1, state: claimed,
	}
	msg.users++
	m.entries[e.key()] = e
	q.link(e)
	return e
}

// forget takes an entry out of memory; its row, if any, is right from now on.
func (m *memory) forget(e *entry) {
	m.leaveHead(e)
	m.dirtyEntries.remove(e)
	delete(m.entries, e.key())
	e.queue.unlink(e)
	e.message.users--
	m.forgetMessage(e.message)
}

func (m *memory) forgetMessage(msg *message) {
	if msg.users == 0 && msg.place == 0 && !msg.frozen {
		delete(m.messages, msg.shared.ID)
	}
}

// wait puts an entry into its queue's head, unless it is cancelled.
func (m *memory) wait(e *entry) {
	if e.held() {
		e.queue.leased--
	}
	m.cancels.back(e)
	if m.withdraw(e) {
		m.reschedule(e.queue)
		return
	}
	e.state = waiting
	e.queue.head.add(e)
	m.heads++
	m.reschedule(e.queue)
}

// leaveHead takes an entry out of its queue's head.
func (m *memory) leaveHead(e *entry) {
	if e.heapIndex >= 0 {
		e.queue.head.remove(e)
		m.heads--
	}
}

// end ends a recipient.
func (m *memory) end(e *entry) {
	q, msg := e.queue, e.message
	if e.held() {
		q.leased--
	}
	m.leaveHead(e)
	m.cancels.back(e)
	e.state = gone
	e.last = nil
	m.grow(q, -1)
	m.owe(msg, -1)
	if e.stored || e.frozen {
		m.dirtyEntries.add(e)
	} else {
		m.forget(e)
	}
	m.reschedule(q)
	m.release(q)
}

// owe changes how many recipients a message is owed to.
func (m *memory) owe(msg *message, by int) {
	msg.owed += by
	if msg.owed == 0 {
		m.owedMessages--
		m.charge(msg, -1)
		m.tally(msg.shared, -1)
		if !msg.stored && !msg.frozen {
			m.dirtyMessages.remove(msg)
			m.forgetMessage(msg)
			return
		}
	}
	m.dirtyMessages.add(msg)
}

// charge accounts for a message in the segment that holds it.
func (m *memory) charge(msg *message, sign int64) {
	number := msg.position.Segment()
	row := m.segments[number]
	row.messages += sign
	row.bytes += sign * msg.bytes
	m.changedSegments[number] = true
	m.segments[number] = row
	if row.messages == 0 {
		delete(m.segments, number)
	}
}

// accept makes a message owed to its recipients. Its queues were pinned, or are
// there. Recipients that covered reports have their rows already; nil for none.
func (m *memory) accept(msg *message, a *acceptance, covered func(place) bool) {
	m.messages[msg.shared.ID] = msg
	m.owedMessages++
	m.charge(msg, +1)
	m.tally(msg.shared, +1)
	m.dirtyMessages.add(msg)
	msg.owed += len(a.recipients)
	for i := range a.recipients {
		if covered != nil && covered(a.place(i)) {
			continue
		}
		q := m.byID[a.queues[i]]
		q.bound(msg.shared)
		e := m.addEntry(msg, q, uint32(i), recipientRow{due: a.due, recipient: a.recipients[i]})
		m.grow(q, +1)
		m.dirtyEntries.add(e)
		m.wait(e)
	}
}

// postpone sends a recipient back to wait.
func (m *memory) postpone(e *entry, c *change) {
	m.leaveHead(e)
	e.due, e.attempts, e.aside = c.due, c.attempts, 0
	if len(c.event) > 0 {
		e.last = c.event
	}
	m.dirtyEntries.add(e)
	m.wait(e)
}

// move follows a message's record to another segment. While a cancel may choose
// among its recipients it stays where it is, in its place before or behind the
// cancel.
func (m *memory) move(msg *message, to *message) {
	if msg.owed == 0 || m.cancels.concern(msg.shared) {
		return
	}
	m.charge(msg, -1)
	msg.position, msg.bytes = to.position, to.bytes
	m.charge(msg, +1)
	m.dirtyMessages.add(msg)
}

// firstDue is when the first attempt for a new message is due.
func firstDue(m *queue.Message, now time.Time) int64 {
	due := m.Accepted
	if due.IsZero() {
		due = now
	}
	if m.NotBefore.After(due) {
		due = m.NotBefore
	}
	return clampDue(m, due)
}

// clampDue lets a recipient become due at its expiry at the latest, so that it
// can be expired.
func clampDue(m *queue.Message, due time.Time) int64 {
	if !m.Expires.IsZero() && m.Expires.Before(due) {
		due = m.Expires
	}
	return nanoseconds(due)
}

// distinct returns the numbers without repetition, in the order they came.
func distinct(numbers []uint64) []uint64 {
	if len(numbers) == 1 {
		return numbers
	}
	seen := make(map[uint64]bool, len(numbers))
	var out []uint64
	for _, n := range numbers {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

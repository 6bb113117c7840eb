package queuetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

// Memory is a store for tests: it keeps the contract of queue.Store except
// that nothing outlives the process. It is simple rather than fast.
type Memory struct {
	// Opens returns when a queue may next be offered, as of now; nil for
	// always. It is not to change once the store is used.
	Opens func(key queue.Key, now time.Time) time.Time

	mu     sync.Mutex
	holds  map[queue.ID]queue.Hold
	owed   map[queue.RecipientID]*held
	queues map[queue.Key]map[queue.RecipientID]*held
	bodies map[queue.ID][]byte
	left   map[queue.ID]int
	events []event.Event
	// reported are the queues that Next has not found empty since Ready.
	reported map[queue.Key]bool
	news     chan struct{}
	closed   bool
}

var _ queue.Store = (*Memory)(nil)

// held is one owed recipient.
type held struct {
	queue.Delivery
	leased bool
	// cancelled: it ends, for reason, as soon as it is not leased.
	cancelled bool
	reason    string
}

// crashDelay bounds the pause that what was due waits for after a crash.
const crashDelay = 5 * time.Millisecond

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{
		owed: map[queue.RecipientID]*held{}, queues: map[queue.Key]map[queue.RecipientID]*held{},
		bodies: map[queue.ID][]byte{}, left: map[queue.ID]int{},
		reported: map[queue.Key]bool{}, news: make(chan struct{}), holds: map[queue.ID]queue.Hold{},
	}
}

// Events returns all events so far.
func (m *Memory) Events() []event.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// Reopened returns a store that holds what this one did, as if the process had
// ended, after a crash or not. This one is closed.
func (m *Memory) Reopened(crashed bool) *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.close()
	again := NewMemory()
	again.bodies, again.events, again.holds, again.Opens = m.bodies, m.events, m.holds, m.Opens
	at := time.Now()
	for _, h := range m.owed {
		if crashed && !h.Due.After(at) {
			h.Due = at.Add(rand.N(crashDelay))
		}
		h.leased = false
		again.hold(h)
		again.endCancelled(h)
	}
	return again
}

func (m *Memory) hold(h *held) {
	id, key := h.ID(), h.Key()
	if m.queues[key] == nil {
		m.queues[key] = map[queue.RecipientID]*held{}
	}
	m.owed[id], m.queues[key][id] = h, h
	m.left[id.Message]++
}

func (m *Memory) drop(h *held, e event.Event) {
	id, key := h.ID(), h.Key()
	m.events = append(m.events, e)
	delete(m.owed, id)
	delete(m.queues[key], id)
	if len(m.queues[key]) == 0 {
		delete(m.queues, key)
	}
	if m.left[id.Message]--; m.left[id.Message] == 0 {
		delete(m.left, id.Message)
		delete(m.bodies, id.Message)
	}
}

// changed wakes Ready.
func (m *Memory) changed() {
	close(m.news)
	m.news = make(chan struct{})
}

// Accept implements queue.Store.
func (m *Memory) Accept(ctx context.Context, s *queue.Submission) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return queue.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	message := s.Message
	m.bodies[message.ID] = bytes.Clone(s.Body)
	due := message.Accepted
	if message.NotBefore.After(due) {
		due = message.NotBefore
	}
	for i, r := range s.Recipients {
		m.events = append(m.events, queue.AcceptedEvent(&message, i, r.Address))
		m.hold(&held{Delivery: queue.Delivery{Message: &message, Index: i, Recipient: r, Due: due}})
	}
	m.changed()
	return nil
}

// Ready implements queue.Store.
func (m *Memory) Ready(ctx context.Context) ([]queue.Key, error) {
	for {
		keys, news, next, err := m.due()
		if err != nil || len(keys) > 0 {
			return keys, err
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-news:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

// due returns the queues to report, or what to wait for.
func (m *Memory) due() (keys []queue.Key, news <-chan struct{}, next time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, nil, next, queue.ErrClosed
	}
	at := time.Now()
	next = at.Add(time.Hour)
	for key, waiting := range m.queues {
		if m.reported[key] {
			continue
		}
		first, ok := earliest(waiting, func(h *held) time.Time { return m.offered(h, at) })
		switch {
		case !ok:
		case first.After(at):
			next = minTime(next, first)
		default:
			m.reported[key] = true
			keys = append(keys, key)
		}
	}
	return keys, m.news, next, nil
}

// earliest returns the first time of a recipient that is not leased.
func earliest(waiting map[queue.RecipientID]*held, of func(*held) time.Time) (first time.Time, ok bool) {
	for _, h := range waiting {
		if h.leased {
			continue
		}
		if at := of(h); !ok || at.Before(first) {
			first, ok = at, true
		}
	}
	return first, ok
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Next implements queue.Store.
func (m *Memory) Next(_ context.Context, key queue.Key, limit int) ([]*queue.Delivery, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, queue.ErrClosed
	}
	var due []*held
	at := time.Now()
	for _, h := range m.queues[key] {
		if !h.leased && !m.offered(h, at).After(at) {
			due = append(due, h)
		}
	}
	slices.SortFunc(due, func(a, b *held) int { return cmp.Or(a.Due.Compare(b.Due), compareIDs(a.ID(), b.ID())) })
	if len(due) < limit {
		delete(m.reported, key)
		m.changed()
	}
	var leased []*queue.Delivery
	for _, h := range due[:min(limit, len(due))] {
		h.leased = true
		d := h.Delivery
		leased = append(leased, &d)
	}
	return leased, nil
}

// Body implements queue.Store.
func (m *Memory) Body(_ context.Context, message *queue.Message) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	body, ok := m.bodies[message.ID]
	if !ok {
		return nil, queue.ErrNotFound
	}
	return bytes.Clone(body), nil
}

// leased returns a leased recipient.
func (m *Memory) leased(id queue.RecipientID) (*held, error) {
	h := m.owed[id]
	if h == nil || !h.leased {
		return nil, fmt.Errorf("%s: %w", id, queue.ErrNotFound)
	}
	return h, nil
}

// Settle implements queue.Store.
func (m *Memory) Settle(_ context.Context, outcomes []queue.Outcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return queue.ErrClosed
	}
	for _, o := range outcomes {
		if _, err := m.leased(o.Recipient); err != nil {
			return err
		}
	}
	for _, o := range outcomes {
		m.drop(m.owed[o.Recipient], o.Event)
	}
	return nil
}

// Defer implements queue.Store.
func (m *Memory) Defer(_ context.Context, deferrals []queue.Deferral) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return queue.ErrClosed
	}
	for _, d := range deferrals {
		if _, err := m.leased(d.Recipient); err != nil {
			return err
		}
	}
	for _, d := range deferrals {
		h := m.owed[d.Recipient]
		h.leased, h.Last = false, &d.Event
		h.Attempts++
		h.Due = minTime(d.Until, h.Message.Expires)
		m.events = append(m.events, d.Event)
		m.endCancelled(h)
	}
	m.changed()
	return nil
}

// Return implements queue.Store.
func (m *Memory) Return(deliveries []*queue.Delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range deliveries {
		if h := m.owed[d.ID()]; h != nil {
			h.leased = false
			m.endCancelled(h)
		}
	}
	m.changed()
}

// Record implements queue.Store.
func (m *Memory) Record(_ context.Context, events []event.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return queue.ErrClosed
	}
	m.events = append(m.events, events...)
	return nil
}

// waiting returns what matches and is not leased.
func (m *Memory) waiting(s queue.Selector) []*held {
	var matching []*held
	for _, h := range m.owed {
		if !h.leased && s.Match(h.Message, h.Recipient.Address) {
			matching = append(matching, h)
		}
	}
	return matching
}

// Cancel implements queue.Store.
func (m *Memory) Cancel(_ context.Context, s queue.Selector, reason string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, queue.ErrClosed
	}
	n := 0
	for _, h := range m.owed {
		if h.cancelled || !s.Match(h.Message, h.Recipient.Address) {
			continue
		}
		h.cancelled, h.reason = true, reason
		if m.endCancelled(h) {
			n++
		}
	}
	return n, nil
}

// endCancelled ends a recipient that waits and is cancelled.
func (m *Memory) endCancelled(h *held) bool {
	if h.leased || !h.cancelled {
		return false
	}
	e := h.Event(event.Dropped, time.Now())
	e.Reason = h.reason
	m.drop(h, e)
	return true
}

// Retry implements queue.Store.
func (m *Memory) Retry(_ context.Context, s queue.Selector) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, queue.ErrClosed
	}
	matching := m.waiting(s)
	at := time.Now()
	for _, h := range matching {
		h.Due = minTime(h.Due, at)
	}
	m.changed()
	return len(matching), nil
}

// Queues implements queue.Store.
func (m *Memory) Queues(context.Context) ([]queue.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, queue.ErrClosed
	}
	var all []queue.Status
	for key, owed := range m.queues {
		s := status(key, owed)
		s.Held, s.Opens = m.queueHeld(key), m.opens(key, time.Now())
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b queue.Status) int { return compareKeys(a.Key, b.Key) })
	return all, nil
}

func status(key queue.Key, owed map[queue.RecipientID]*held) queue.Status {
	s := queue.Status{Key: key, Waiting: len(owed)}
	for _, h := range owed {
		if h.leased {
			s.Leased++
		}
		if s.Oldest.IsZero() || h.Message.Accepted.Before(s.Oldest) {
			s.Oldest = h.Message.Accepted
		}
	}
	s.NextDue, _ = earliest(owed, func(h *held) time.Time { return h.Due })
	return s
}

func compareKeys(a, b queue.Key) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Domain, b.Domain))
}

// List implements queue.Store.
func (m *Memory) List(_ context.Context, s queue.Selector, after string, limit int) ([]queue.Entry, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, "", queue.ErrClosed
	}
	var page []queue.Entry
	for _, id := range slices.SortedFunc(maps.Keys(m.owed), compareIDs) {
		h := m.owed[id]
		if cursor(id) <= after || !s.Match(h.Message, h.Recipient.Address) {
			continue
		}
		if len(page) == limit {
			return page, cursor(entryID(page[limit-1])), nil
		}
		page = append(page, queue.Entry{
			Message: h.Message, Index: h.Index, Recipient: h.Recipient,
			Attempts: h.Attempts, Due: h.Due, Leased: h.leased, Held: m.heldBy(h), Last: h.Last,
		})
	}
	return page, "", nil
}

// cursor names a place in the order of recipients, as text that sorts so.
func cursor(id queue.RecipientID) string {
	return id.Message.String() + fmt.Sprintf("/%08d", id.Index)
}

// Stats implements queue.Store.
func (m *Memory) Stats() queue.Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return queue.Stats{Recipients: int64(len(m.owed)), Messages: int64(len(m.left)), Queues: len(m.queues)}
}

// Close implements queue.Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.close()
	return nil
}

func (m *Memory) close() {
	if !m.closed {
		m.closed = true
		m.changed()
	}
}

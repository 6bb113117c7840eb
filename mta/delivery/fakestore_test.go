package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// memory is a store that watches its caller: whoever settles what is not
// leased, or loses a lease, is found out.
type memory struct {
	mu       sync.Mutex
	waiting  map[queue.Key][]*owed
	leased   map[queue.RecipientID]*owed
	bodies   map[queue.ID][]byte
	reported map[queue.Key]bool
	news     chan struct{}
	events   []event.Event
	ended    map[queue.RecipientID]event.Event
	// faults of the caller.
	faults []string
	// fail, if set, is asked before Settle, Defer, Next and Body.
	fail func(operation string) error
	// peak of leases, reads of bodies, writes.
	peak, reads, writes int
	closed              bool
}

type owed struct{ d queue.Delivery }

var errDisk = errors.New("disk on fire")

func newMemory() *memory {
	return &memory{
		waiting: map[queue.Key][]*owed{}, leased: map[queue.RecipientID]*owed{}, bodies: map[queue.ID][]byte{},
		reported: map[queue.Key]bool{}, news: make(chan struct{}, 1), ended: map[queue.RecipientID]event.Event{},
	}
}

// letter describes a submission of the tests.
type letter struct {
	tenant, stream string
	pool           string
	requireTLS     bool
	waiveTLS       bool
	notify         mail.Notify
	maxAge         time.Duration
	body           string
}

// accept adds a message and returns its id.
func (m *memory) accept(l letter, recipients ...string) queue.ID {
	now := time.Now()
	message := &queue.Message{
		ID: queue.NewID(now), Tenant: l.tenant, Stream: l.stream, Accepted: now, Expires: now.Add(l.maxAge),
		HeaderFrom: "sender.example", Pool: l.pool, Envelope: mail.Envelope{RequireTLS: l.requireTLS, WaiveTLS: l.waiveTLS}, Size: int64(len(l.body)),
	}
	if l.maxAge == 0 {
		message.Expires = now.Add(24 * time.Hour)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bodies[message.ID] = []byte(l.body)
	for i, r := range recipients {
		address, err := mail.ParseAddress(r)
		if err != nil {
			panic(err)
		}
		o := &owed{queue.Delivery{Message: message, Index: i, Recipient: mail.Recipient{Address: address, Notify: l.notify}, Due: now}}
		m.waiting[o.d.Key()] = append(m.waiting[o.d.Key()], o)
	}
	m.changed()
	return message.ID
}

func (m *memory) changed() {
	select {
	case m.news <- struct{}{}:
	default:
	}
}

func (m *memory) Ready(ctx context.Context) ([]queue.Key, error) {
	for {
		keys, next := m.due()
		if m.gone() {
			return nil, queue.ErrClosed
		}
		if len(keys) > 0 {
			return keys, nil
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-m.news:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

func (m *memory) due() (keys []queue.Key, next time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	next = now.Add(time.Hour)
	for key, all := range m.waiting {
		if m.reported[key] {
			continue
		}
		for _, o := range all {
			if !o.d.Due.After(now) {
				m.reported[key] = true
				keys = append(keys, key)
				break
			}
			if o.d.Due.Before(next) {
				next = o.d.Due
			}
		}
	}
	return keys, next
}

func (m *memory) gone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

func (m *memory) failing(operation string) error {
	if m.fail == nil {
		return nil
	}
	return m.fail(operation)
}

func (m *memory) Next(ctx context.Context, key queue.Key, limit int) ([]*queue.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failing("next"); err != nil {
		return nil, err
	}
	now := time.Now()
	var out []*queue.Delivery
	var kept []*owed
	all := m.waiting[key]
	for i, o := range all {
		if len(out) == limit {
			kept = append(kept, all[i:]...)
			break
		}
		if o.d.Due.After(now) {
			kept = append(kept, o)
			continue
		}
		m.leased[o.d.ID()] = o
		d := o.d
		out = append(out, &d)
	}
	m.waiting[key] = kept
	if len(kept) == 0 {
		delete(m.waiting, key)
	}
	if len(out) < limit {
		delete(m.reported, key)
		m.changed() // Ready has to look at this queue again
	}
	m.peak = max(m.peak, len(m.leased))
	return out, nil
}

func (m *memory) Body(_ context.Context, message *queue.Message) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if err := m.failing("body"); err != nil {
		return nil, err
	}
	return m.bodies[message.ID], nil
}

func (m *memory) take(id queue.RecipientID, operation string) *owed {
	o := m.leased[id]
	if o == nil {
		m.faults = append(m.faults, fmt.Sprintf("%s of %s, which is not leased", operation, id))
	}
	delete(m.leased, id)
	return o
}

func (m *memory) Settle(_ context.Context, outcomes []queue.Outcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failing("settle"); err != nil {
		return err
	}
	m.writes++
	for _, o := range outcomes {
		m.take(o.Recipient, "settle")
		m.ended[o.Recipient] = o.Event
		m.events = append(m.events, o.Event)
	}
	return nil
}

func (m *memory) Defer(_ context.Context, deferrals []queue.Deferral) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failing("defer"); err != nil {
		return err
	}
	m.writes++
	for _, f := range deferrals {
		m.events = append(m.events, f.Event)
		if o := m.take(f.Recipient, "defer"); o != nil {
			if !f.Uncounted {
				o.d.Attempts++
			}
			o.d.Due = f.Until
			m.waiting[o.d.Key()] = append(m.waiting[o.d.Key()], o)
		}
	}
	m.changed()
	return nil
}

func (m *memory) Return(deliveries []*queue.Delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(deliveries) - 1; i >= 0; i-- {
		if o := m.take(deliveries[i].ID(), "return"); o != nil {
			m.waiting[o.d.Key()] = append([]*owed{o}, m.waiting[o.d.Key()]...)
		}
	}
	m.changed()
}

// left counts what is owed, leased or not.
func (m *memory) left() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := len(m.leased)
	for _, all := range m.waiting {
		left += len(all)
	}
	return left
}

// counts events by type.
func (m *memory) counts() map[event.Type]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := map[event.Type]int{}
	for _, e := range m.events {
		n[e.Type]++
	}
	return n
}

// of returns the events of one kind.
func (m *memory) of(kind event.Type) []event.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.events), func(e event.Event) bool { return e.Type != kind })
}

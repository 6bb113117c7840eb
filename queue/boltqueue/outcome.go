package boltqueue

import (
	"context"
	"fmt"
	"slices"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// outcomes is one outcome record on its way: the changes, the entries they
// change and the events in them.
type outcomes struct {
	changes []change
	entries []*entry
	events  []event.Event
}

// oneOutcome is the usual record: all of it is allocated at once.
type oneOutcome struct {
	outcomes
	change [1]change
	entry  [1]*entry
	event  [1]event.Event
}

func newOutcomes(n int) *outcomes {
	if n == 1 {
		one := &oneOutcome{}
		one.changes, one.entries, one.events = one.change[:], one.entry[:0], one.event[:]
		return &one.outcomes
	}
	return &outcomes{changes: make([]change, n), entries: make([]*entry, 0, n), events: make([]event.Event, n)}
}

// Settle implements queue.Store.
func (s *Store) Settle(ctx context.Context, settled []queue.Outcome) error {
	if len(settled) == 0 {
		return nil
	}
	o := newOutcomes(len(settled))
	for i := range settled {
		o.changes[i].recipient, o.changes[i].gone = keyOf(settled[i].Recipient), true
		o.events[i] = settled[i].Event
	}
	return s.write(ctx, o, nil)
}

// Defer implements queue.Store.
func (s *Store) Defer(ctx context.Context, deferrals []queue.Deferral) error {
	if len(deferrals) == 0 {
		return nil
	}
	o := newOutcomes(len(deferrals))
	for i := range deferrals {
		o.changes[i].recipient = keyOf(deferrals[i].Recipient)
		o.events[i] = deferrals[i].Event
	}
	return s.write(ctx, o, func(c *change, e *entry, i int) {
		c.event = slices.Clone(c.event) // it stays with the entry
		c.due = clampDue(e.message.shared, deferrals[i].Until)
		c.attempts = e.attempts
		if !deferrals[i].Uncounted {
			c.attempts++
		}
	})
}

// write makes outcomes of leased recipients durable. fill completes a change
// once its entry is known.
func (s *Store) write(ctx context.Context, o *outcomes, fill func(*change, *entry, int)) error {
	room := s.scratches.take()
	defer s.scratches.giveBack(room)
	if err := o.encodeEvents(room); err != nil {
		return err
	}
	if err := s.beginSettling(o, fill); err != nil {
		return err
	}
	return s.journalOutcomes(ctx, o, leased)
}

// encodeEvents gives each change its encoded event, until the room is given
// back.
func (o *outcomes) encodeEvents(room *scratch) error {
	for i := range o.events {
		start := len(room.b)
		var err error
		if room.b, err = appendEvent(room.b, &o.events[i]); err != nil {
			return err
		}
		o.changes[i].event = room.b[start:len(room.b):len(room.b)]
	}
	return nil
}

// journalOutcomes appends the record; on an error its entries go back to the
// state they were in.
func (s *Store) journalOutcomes(ctx context.Context, o *outcomes, before state) error {
	room := s.scratches.take()
	defer s.scratches.giveBack(room)
	room.b = appendChanges(room.b, o.changes)
	w := &journal.Write{Kind: kindOutcome, Head: room.b, Value: o}
	err := s.journal.Append(ctx, w)
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range o.entries {
		if e.state = before; before == waiting {
			s.wait(e)
		}
	}
	return storageError(err)
}

func (s *Store) beginSettling(o *outcomes, fill func(*change, *entry, int)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return queue.ErrClosed
	}
	for i := range o.changes {
		c := &o.changes[i]
		e := s.entries[c.recipient]
		if e == nil || e.state != leased {
			for _, e := range o.entries {
				e.state = leased
			}
			return fmt.Errorf("recipient %s is not leased: %w", c.recipient.id(), queue.ErrNotFound)
		}
		e.state = settling
		o.entries = append(o.entries, e)
		c.queue = e.queue.id
		if fill != nil {
			fill(c, e, i)
		}
	}
	return nil
}

func (s *Store) applyOutcomes(o *outcomes) {
	for i, e := range o.entries {
		if c := &o.changes[i]; c.gone {
			s.end(e)
		} else {
			s.postpone(e, c)
		}
	}
}

// Return implements queue.Store.
func (s *Store) Return(deliveries []*queue.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range deliveries {
		if e := s.entries[keyOf(d.ID())]; e != nil && e.state == leased {
			s.wait(e)
		}
	}
}

// recorded is an event record on its way.
type recorded []event.Event

// Record implements queue.Store.
func (s *Store) Record(ctx context.Context, events []event.Event) error {
	if len(events) == 0 {
		return nil
	}
	encoded, err := encodeEvents(events)
	if err != nil {
		return err
	}
	w := &journal.Write{Kind: kindEvents, Head: encoded, Value: recorded(events)}
	return storageError(s.journal.Append(ctx, w))
}

package boltqueue

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

// controlBatch is how many recipients one record of a cancel or retry changes.
const controlBatch = 1000

// Cancel implements queue.Store.
func (s *Store) Cancel(ctx context.Context, sel queue.Selector, reason string) (int, error) {
	return s.control(ctx, sel, func(o *outcomes, e *entry) error {
		dropped := e.delivery().Event(event.Dropped, s.options.Now())
		dropped.Reason = reason
		encoded, err := encodeEvent(&dropped)
		if err != nil {
			return err
		}
		o.events = append(o.events, dropped)
		o.changes = append(o.changes, change{recipient: e.key(), queue: e.queue.id, gone: true, event: encoded})
		return nil
	})
}

// Retry implements queue.Store.
func (s *Store) Retry(ctx context.Context, sel queue.Selector) (int, error) {
	now := nanoseconds(s.options.Now())
	return s.control(ctx, sel, func(o *outcomes, e *entry) error {
		o.changes = append(o.changes, change{
			recipient: e.key(), queue: e.queue.id, due: min(e.due, now), attempts: e.attempts,
		})
		return nil
	})
}

// controlWorkers claim, encode and write at once, each its own queues.
const controlWorkers = 4

// controller makes a change of every waiting recipient that matches.
type controller struct {
	store *Store
	sel   queue.Selector
	// queues are those that may hold matches; next is the first that no worker
	// has begun.
	queues []uint64
	next   atomic.Int64
	// done counts the changes that are durable.
	done atomic.Int64
	// add appends the change of one recipient.
	add func(*outcomes, *entry) error
}

func (s *Store) control(ctx context.Context, sel queue.Selector, add func(*outcomes, *entry) error) (int, error) {
	queues, err := s.queueIDs(sel)
	if err != nil {
		return 0, err
	}
	c := controller{store: s, sel: sel, queues: queues, add: add}
	errs := make([]error, min(controlWorkers, len(queues)))
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() { errs[i] = c.work(ctx) })
	}
	group.Wait()
	return int(c.done.Load()), errors.Join(errs...)
}

// work takes one queue after the other. Its batches go over their borders:
// there may be as many queues as recipients.
func (c *controller) work(ctx context.Context) error {
	o := &outcomes{}
	for {
		i := int(c.next.Add(1)) - 1
		if i >= len(c.queues) {
			return c.write(ctx, o)
		}
		r := keyRange{id: c.queues[i]}
		if !c.sel.Message.IsZero() {
			r.narrow(c.sel.Message)
		}
		for more := true; more; {
			var err error
			if more, err = c.claim(ctx, &r, o); err != nil {
				c.store.unclaim(o)
				return err
			}
			if len(o.entries) < controlBatch {
				continue
			}
			if err := c.write(ctx, o); err != nil {
				return err
			}
			o = &outcomes{}
		}
	}
}

// write makes the claimed changes durable.
func (c *controller) write(ctx context.Context, o *outcomes) error {
	if len(o.entries) == 0 {
		return nil
	}
	for _, e := range o.entries {
		if err := c.add(o, e); err != nil {
			c.store.unclaim(o)
			return err
		}
	}
	if err := c.store.journalOutcomes(ctx, o, waiting); err != nil {
		return err
	}
	c.done.Add(int64(len(o.entries)))
	return nil
}

// awaitRoom waits for room as new mail does.
func (s *Store) awaitRoom() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waitForRoom()
}

// claim takes waiting recipients out of a queue until the batch is full, so
// that nobody leases them while their change is on its way to disk, and moves
// the range behind them. more reports that the queue may hold further ones.
func (c *controller) claim(ctx context.Context, r *keyRange, o *outcomes) (more bool, err error) {
	s := c.store
	if err := s.awaitRoom(); err != nil {
		return false, err
	}
	full := false
	_, err = s.walkQueue(ctx, *r, c.sel, func(f *found) bool {
		if full = len(o.entries) >= controlBatch; full {
			return false
		}
		r.after, r.exclusive = f.key, true
		e := f.entry
		if e == nil {
			e = s.adopt(f.row)
		} else if e.state != waiting {
			return true
		}
		s.leaveHead(e)
		e.state = claimed
		o.entries = append(o.entries, e)
		return true
	})
	return full, err
}

func (s *Store) unclaim(o *outcomes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range o.entries {
		s.wait(e)
	}
}

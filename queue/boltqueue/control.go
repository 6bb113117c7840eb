package boltqueue

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/postrider-mta/postrider/queue"
)

// controlBatch is how many recipients one record of a cancel or retry changes.
const controlBatch = 1000

// Retry implements queue.Store. It leaves alone what a cancel is about to end.
func (s *Store) Retry(ctx context.Context, sel queue.Selector) (int, error) {
	queues, err := s.queueIDs(sel)
	if err != nil {
		return 0, err
	}
	now := nanoseconds(s.options.Now())
	c := controller{store: s, sel: sel, queues: queues}
	c.wants = func(f *found) bool { return s.cancelOf(f) == nil }
	c.write = func(claimed []*entry) error {
		o := &outcomes{entries: claimed, changes: make([]change, len(claimed))}
		for i, e := range claimed {
			o.changes[i] = change{recipient: e.key(), queue: e.queue.id, due: min(e.due, now), attempts: e.attempts}
		}
		return s.journalOutcomes(ctx, o, waiting)
	}
	return c.run(ctx)
}

// controlWorkers claim, encode and write at once, each its own queues.
const controlWorkers = 4

// controller makes a change of every waiting recipient that matches.
type controller struct {
	store *Store
	sel   queue.Selector
	// wants chooses among those that match; Store.mu is held.
	wants func(*found) bool
	// write makes the change of claimed recipients durable; on an error they
	// wait again.
	write func([]*entry) error
	// queues are those that may hold matches; next is the first that no worker
	// has begun.
	queues []uint64
	next   atomic.Int64
	// done counts the changes that are durable.
	done atomic.Int64
}

// run returns how many were changed.
func (c *controller) run(ctx context.Context) (int, error) {
	errs := make([]error, min(controlWorkers, len(c.queues)))
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
	var batch []*entry
	read := &readMessages{}
	for {
		i := int(c.next.Add(1)) - 1
		if i >= len(c.queues) {
			return c.flush(batch)
		}
		r := keyRange{id: c.queues[i], read: read}
		if !c.sel.Message.IsZero() {
			r.narrow(c.sel.Message)
		}
		for more := true; more; {
			var err error
			if batch, more, err = c.claim(ctx, &r, batch); err != nil {
				c.store.unclaim(batch)
				return err
			}
			if len(batch) < controlBatch {
				continue
			}
			if err := c.flush(batch); err != nil {
				return err
			}
			batch = nil
		}
	}
}

func (c *controller) flush(batch []*entry) error {
	if len(batch) == 0 {
		return nil
	}
	if err := c.write(batch); err != nil {
		return err
	}
	c.done.Add(int64(len(batch)))
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
func (c *controller) claim(ctx context.Context, r *keyRange, batch []*entry) (_ []*entry, more bool, err error) {
	s := c.store
	if err := s.awaitRoom(); err != nil {
		return batch, false, err
	}
	full := false
	_, err = s.walkQueue(ctx, *r, c.sel, func(f *found) bool {
		r.after, r.exclusive = f.key, true
		e := f.entry
		if e != nil && e.state != waiting || !c.wants(f) {
			return true
		}
		if e == nil {
			e = s.adopt(f.row)
		}
		s.leaveHead(e)
		e.state = claimed
		batch = append(batch, e)
		full = len(batch) >= controlBatch
		return !full
	})
	return batch, full, err
}

func (s *Store) unclaim(claimed []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range claimed {
		s.wait(e)
	}
}

package boltqueue

import (
	"context"
	"errors"
	"slices"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// runCancel ends what a cancel chose, again and again if it fails, and then the
// cancel. It goes on without whoever asked for it, and after a restart.
func (s *Store) runCancel(c *cancel) {
	walked := false
	for backOff := firstBackOff; ; backOff = min(2*backOff, longestBackOff) {
		err := s.finishCancel(c, &walked)
		if err == nil || errors.Is(err, queue.ErrClosed) || s.stopping() {
			return
		}
		select {
		case c.heldUp <- err:
		default: // nobody waits any more
		}
		s.options.Logger.Warn("store: a cancel is held up, trying again", "error", err, "pause", backOff)
		s.pause(backOff)
	}
}

// finishCancel ends all that waits, then what comes back to wait, then the
// cancel. walked says that all queues have been gone through.
func (s *Store) finishCancel(c *cancel, walked *bool) error {
	if err := s.endFound(c, nil); err != nil {
		return err // before more is claimed
	}
	if !*walked {
		if err := s.walkCancelled(c); err != nil {
			return err
		}
		*walked = true
	}
	if err := s.endFound(c, func() bool { return c.claims == 0 }); err != nil {
		return err
	}
	if err := s.awaitEarlier(c); err != nil {
		return err
	}
	c.announceSwept()
	if err := s.endFound(c, func() bool { return len(c.away) == 0 }); err != nil {
		return err
	}
	w := &journal.Write{Kind: kindCancelled, Head: appendPosition(nil, c.position), Value: cancelEnd(c.position)}
	return storageError(s.journal.Append(context.Background(), w))
}

// announceSwept tells whoever asked for the cancel; it runs on one goroutine.
func (c *cancel) announceSwept() {
	select {
	case <-c.swept:
	default:
		close(c.swept)
	}
}

// walkCancelled ends what waits in all queues that may hold any.
func (s *Store) walkCancelled(c *cancel) error {
	queues, err := s.queueIDs(c.selector)
	if err != nil {
		return err
	}
	work := controller{store: s, sel: c.selector, queues: queues}
	work.wants = func(f *found) bool { return s.cancelOf(f) == c }
	work.write = func(claimed []*entry) error {
		if err := s.endCancelled(c, claimed); err != nil {
			return err
		}
		return s.endFound(c, nil)
	}
	_, err = work.run(context.Background())
	return err
}

// endFound ends what was found, and goes on until enough says so with Store.mu
// held, or just until nothing is left if it is nil.
func (s *Store) endFound(c *cancel, enough func() bool) error {
	for {
		batch, done := s.takeFound(c, enough)
		switch {
		case len(batch) > 0:
			if err := s.endCancelled(c, batch); err != nil {
				return err
			}
			continue
		case done:
			return nil
		}
		select {
		case <-c.news:
		case <-s.stop:
			return queue.ErrClosed
		}
	}
}

// takeFound returns some of what was found; done says that there is no more,
// and enough.
func (s *Store) takeFound(c *cancel, enough func() bool) (batch []*entry, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range c.found {
		if len(batch) == controlBatch {
			break
		}
		delete(c.found, e)
		batch = append(batch, e)
	}
	return batch, len(batch) == 0 && (enough == nil || enough())
}

// awaitEarlier waits for the sweeps of earlier cancels, which end what they
// chose too.
func (s *Store) awaitEarlier(c *cancel) error {
	s.mu.Lock()
	earlier := s.cancels.earlier(c)
	s.mu.Unlock()
	for _, other := range earlier {
		select {
		case <-other.swept:
		case <-s.stop:
			return queue.ErrClosed
		}
	}
	return nil
}

// endCancelled ends claimed recipients in one record. On an error they are
// found again.
func (s *Store) endCancelled(c *cancel, claimed []*entry) error {
	if err := s.awaitRoom(); err != nil {
		s.unclaim(claimed)
		return err
	}
	slices.SortFunc(claimed, func(a, b *entry) int { return a.key().compare(b.key()) })
	d := &dropped{cancel: c, reason: c.reason, at: s.options.Now(), entries: claimed, recipients: make([]droppedRecipient, len(claimed))}
	for i, e := range claimed {
		d.recipients[i] = droppedRecipient{message: e.message.shared, queue: e.queue.id, index: e.index, attempts: e.attempts, address: e.recipient.Address}
	}
	if err := s.journal.Append(context.Background(), &journal.Write{Kind: kindDropped, Head: d.append(nil), Value: d}); err != nil {
		s.unclaim(claimed)
		return storageError(err)
	}
	return nil
}

// applyDropped follows a durable record.
func (s *Store) applyDropped(d *dropped) {
	for _, e := range d.entries {
		s.end(e)
	}
	d.cancel.ended += len(d.entries)
	d.cancel, d.entries = nil, nil // the event log has no need of them
}

// event returns that of one recipient.
func (d *dropped) event(i int) event.Event {
	r := &d.recipients[i]
	delivery := queue.Delivery{Message: r.message, Index: int(r.index), Attempts: int(r.attempts)}
	delivery.Recipient.Address = r.address
	e := delivery.Event(event.Dropped, d.at)
	e.Reason = d.reason
	return e
}

// cancelOf returns the cancel whose sweep ends a recipient; nil for none.
// Store.mu is held.
func (s *Store) cancelOf(f *found) *cancel {
	if len(s.cancels.standing) == 0 {
		return nil
	}
	var at journal.Position
	if msg := s.messages[f.key.message]; msg != nil {
		at = msg.position // its row may be older, or yet to come
	} else {
		at = f.row.message.position
	}
	return s.cancels.of(f.message(), at, f.view().recipient.Address)
}

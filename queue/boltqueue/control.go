package boltqueue

import (
	"context"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

// controlBatch is how many recipients one record of a cancel or retry changes.
const controlBatch = 500

// Cancel implements queue.Store.
func (s *Store) Cancel(ctx context.Context, sel queue.Selector, reason string) (int, error) {
	return s.control(ctx, sel, func(o *outcomes, e *entry) error {
		dropped := e.delivery().Event(event.Dropped, time.Now())
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
	now := nanoseconds(time.Now())
	return s.control(ctx, sel, func(o *outcomes, e *entry) error {
		o.changes = append(o.changes, change{
			recipient: e.key(), queue: e.queue.id, due: min(e.due, now), attempts: e.attempts,
		})
		return nil
	})
}

// control makes a change of every waiting recipient that matches, batch by
// batch.
func (s *Store) control(ctx context.Context, sel queue.Selector, add func(*outcomes, *entry) error) (int, error) {
	done := 0
	for from := (place{}); ; {
		if err := s.awaitRoom(); err != nil {
			return done, err
		}
		o, end, err := s.claim(ctx, sel, from)
		if err != nil || len(o.entries) == 0 {
			return done, err
		}
		for _, e := range o.entries {
			if err := add(o, e); err != nil {
				s.unclaim(o)
				return done, err
			}
		}
		if err := s.journalOutcomes(ctx, o, waiting); err != nil {
			return done, err
		}
		done += len(o.entries)
		from = end
	}
}

// awaitRoom waits for room as new mail does.
func (s *Store) awaitRoom() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waitForRoom()
}

// claim takes a batch of waiting recipients out of their queues, so that
// nobody leases them while their change is on its way to disk.
func (s *Store) claim(ctx context.Context, sel queue.Selector, from place) (*outcomes, place, error) {
	o := &outcomes{}
	end := from
	err := s.walk(ctx, sel, from, func(f *found) bool {
		if len(o.entries) == controlBatch {
			return false
		}
		end = f.place
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
	if err != nil {
		s.unclaim(o)
		return nil, end, err
	}
	return o, end, nil
}

func (s *Store) unclaim(o *outcomes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range o.entries {
		s.wait(e)
	}
}

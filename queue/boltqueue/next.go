package boltqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// longestSleep bounds a wait for a due time, since the wall clock may jump.
const longestSleep = 30 * time.Second

// Ready implements queue.Store.
func (s *Store) Ready(ctx context.Context) ([]queue.Key, error) {
	for {
		keys, changed, wake, err := s.readyNow()
		if err != nil || len(keys) > 0 {
			return keys, err
		}
		timer := time.NewTimer(wake)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

// readyNow returns the queues to report, or what to wait for.
func (s *Store) readyNow() (keys []queue.Key, changed <-chan struct{}, wake time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, 0, queue.ErrClosed
	}
	clock := s.options.Now()
	now := nanoseconds(clock)
	s.followClock(now)
	for len(s.schedule) > 0 && s.schedule[0].wake <= now {
		q := s.schedule[0]
		s.look(q, clock)
		if q.wake = q.wakeTime(); q.wake > now {
			s.schedule.set(q, true)
			continue
		}
		q.reported = true
		s.schedule.set(q, false)
		keys = append(keys, q.key)
	}
	wake = longestSleep
	if len(s.schedule) > 0 {
		wake = min(wake, time.Duration(s.schedule[0].wake-now))
	}
	s.listening = true
	return keys, s.changed, wake, nil
}

// Next implements queue.Store.
func (s *Store) Next(ctx context.Context, key queue.Key, limit int) ([]*queue.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.sweep(ctx, key); err != nil {
		return nil, err
	}
	deliveries, lasts, err := s.leaseOf(ctx, key, limit)
	for i, last := range lasts {
		deliveries[i].Last = s.lastEvent(last)
	}
	return deliveries, err
}

// leaseOf leases, and returns the encoded last event of each delivery.
func (s *Store) leaseOf(ctx context.Context, key queue.Key, limit int) (deliveries []*queue.Delivery, lasts [][]byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.waitToLease(ctx); err != nil {
		return nil, nil, err
	}
	if s.closed {
		return nil, nil, queue.ErrClosed
	}
	q := s.byKey[key]
	if q == nil || limit <= 0 {
		return nil, nil, nil
	}
	if s.look(q, s.options.Now()); q.shut != 0 {
		deliveries = s.leaseOverdue(q, limit)
	} else {
		deliveries, err = s.lease(q, limit)
	}
	if err == nil && len(deliveries) < limit {
		q.reported = false
		s.reschedule(q)
		s.release(q)
	}
	for _, d := range deliveries {
		lasts = append(lasts, s.entries[keyOf(d.ID())].last)
	}
	return deliveries, lasts, err
}

// lastEvent decodes what is kept of the last deferral. It only informs, so
// that one that cannot be read is no reason to keep the mail.
func (s *Store) lastEvent(encoded []byte) *event.Event {
	if len(encoded) == 0 {
		return nil
	}
	last, err := decodeEvent(encoded)
	if err != nil {
		s.options.Logger.Warn("store: last event of a recipient cannot be read", "error", err)
		return nil
	}
	return &last
}

// lease takes due recipients out of a queue's head, reading on where the head
// ends. On an error nothing is leased.
func (s *Store) lease(q *queueState, limit int) ([]*queue.Delivery, error) {
	clock := s.options.Now()
	now := nanoseconds(clock)
	room := s.asideRoom()
	var deliveries []*queue.Delivery
	for len(deliveries) < limit {
		first := mark{due: never}
		if len(q.head) > 0 {
			first = q.head[0].mark()
		}
		if q.rowsFirst(first, now) {
			if err := s.refill(q, now, limit-len(deliveries)); err != nil && !s.restRows(q, err, clock) {
				s.giveBack(deliveries)
				return nil, err
			}
			continue
		}
		if first.due > now {
			break
		}
		switch {
		case s.withdraw(q.head[0]):
			continue
		case !s.heldBack(q.head[0], clock):
			deliveries = append(deliveries, s.leaseFirst(q))
			continue
		case room > 0:
			s.setAside(q.head[0], clock)
			room--
			continue
		}
		s.restAfter(q, clock)
		break
	}
	s.reschedule(q)
	return deliveries, nil
}

func (s *Store) giveBack(deliveries []*queue.Delivery) {
	for _, d := range deliveries {
		s.wait(s.entries[keyOf(d.ID())])
	}
}

// Body implements queue.Store.
func (s *Store) Body(ctx context.Context, m *queue.Message) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	at, err := s.locate(m.ID)
	if err != nil {
		return nil, err
	}
	body, err := s.readBody(at)
	if err == nil {
		return body, nil
	}
	// The record may have moved to another segment meanwhile.
	if again, moved := s.locate(m.ID); moved == nil && again != at {
		return s.readBody(again)
	}
	return nil, err
}

func (s *Store) locate(id queue.ID) (journal.Position, error) {
	s.mu.Lock()
	msg, closed := s.messages[id], s.closed
	at := journal.Position(0)
	if msg != nil {
		at = msg.position
	}
	s.mu.Unlock()
	if closed {
		return 0, queue.ErrClosed
	}
	if msg != nil {
		return at, nil
	}
	row, err := s.readMessage(id)
	if errors.Is(err, boltguard.ErrDamaged) {
		return 0, fmt.Errorf("%w: %w", queue.ErrDamaged, err)
	}
	if err != nil {
		return 0, err
	}
	if row == nil {
		return 0, queue.ErrNotFound
	}
	return row.position, nil
}

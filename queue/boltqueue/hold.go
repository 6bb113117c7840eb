package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

var errNoHoldID = errors.New("a hold needs an id")

// holds are the rules in force. They are guarded by Store.mu.
type holds struct {
	all map[queue.ID]queue.Hold
	// ofQueues and finer part them by what they choose: whole queues, which
	// are then not reported, or recipients, which are looked at one by one.
	ofQueues, finer []queue.Hold
	// changed: the rows of the last checkpoint are not these.
	changed bool
}

func (h *holds) set(hold queue.Hold) {
	if h.all == nil {
		h.all = map[queue.ID]queue.Hold{}
	}
	h.all[hold.ID] = hold
	h.part()
}

func (h *holds) remove(id queue.ID) {
	delete(h.all, id)
	h.part()
}

func (h *holds) part() {
	h.changed, h.ofQueues, h.finer = true, nil, nil
	for _, hold := range h.sorted() {
		if hold.Selector.OfQueues() {
			h.ofQueues = append(h.ofQueues, hold)
		} else {
			h.finer = append(h.finer, hold)
		}
	}
}

func (h *holds) sorted() []queue.Hold {
	return slices.SortedFunc(maps.Values(h.all), func(a, b queue.Hold) int { return bytes.Compare(a.ID[:], b.ID[:]) })
}

// ofQueue returns a hold on all of a queue; nil for none.
func (h *holds) ofQueue(key queue.Key) *queue.Hold {
	for i := range h.ofQueues {
		if h.ofQueues[i].Selector.MatchKey(key) {
			return &h.ofQueues[i]
		}
	}
	return nil
}

// ofRecipient returns a hold that names more than queues; nil for none.
func (h *holds) ofRecipient(m *queue.Message, recipient mail.Address) *queue.Hold {
	for i := range h.finer {
		if h.finer[i].Selector.Match(m, recipient) {
			return &h.finer[i]
		}
	}
	return nil
}

// reason says why a recipient is held; empty where it is not.
func (h *holds) reason(m *queue.Message, r *mail.Recipient) string {
	if hold := h.ofQueue(queueKeyOf(m, r)); hold != nil {
		return hold.Reason
	}
	if hold := h.ofRecipient(m, r.Address); hold != nil {
		return hold.Reason
	}
	return ""
}

// holdChange is a hold or release record on its way.
type holdChange struct {
	hold     queue.Hold
	released bool
}

// Hold implements queue.Store. What matches is found when it would be offered:
// the hold costs the same whatever its number.
func (s *Store) Hold(ctx context.Context, h queue.Hold) error {
	if h.ID.IsZero() {
		return errNoHoldID
	}
	w := &journal.Write{Kind: kindHold, Head: appendHold(nil, &h), Value: &holdChange{hold: h}}
	return storageError(s.journal.Append(ctx, w))
}

// Release implements queue.Store.
func (s *Store) Release(ctx context.Context, id queue.ID) (int, error) {
	s.mu.Lock()
	h, ok := s.holds.all[id]
	closed := s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return 0, queue.ErrClosed
	case !ok:
		return 0, fmt.Errorf("hold %s: %w", id, queue.ErrNotFound)
	}
	waiting := 0
	if h.Selector.OfQueues() {
		waiting = s.countWaiting(h.Selector) // before any of it can go
	}
	w := &journal.Write{Kind: kindRelease, Head: id[:], Value: &holdChange{hold: h, released: true}}
	if err := s.journal.Append(ctx, w); err != nil {
		return 0, storageError(err)
	}
	if h.Selector.OfQueues() {
		return waiting, nil
	}
	return s.takeUp(ctx, h.Selector)
}

// Holds implements queue.Store.
func (s *Store) Holds(context.Context) ([]queue.Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, queue.ErrClosed
	}
	return s.holds.sorted(), nil
}

// applyHold follows a durable record. Queues that were shut are looked at
// again when they are next due.
func (s *Store) applyHold(c *holdChange) {
	if !c.released {
		s.holds.set(c.hold)
		return
	}
	s.holds.remove(c.hold.ID)
	s.reopen()
}

// countWaiting counts what waits in whole queues.
func (s *Store) countWaiting(sel queue.Selector) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, q := range s.byID {
		if sel.MatchKey(q.key) {
			n += q.count - q.leased
		}
	}
	return n
}

// takeUp makes due again what was set aside, batch by batch, and counts all
// that waits and matches. A crash in between costs the rest no more than the
// pause before they are looked at again.
func (s *Store) takeUp(ctx context.Context, sel queue.Selector) (int, error) {
	waits := 0
	for from := (place{}); ; {
		if err := s.awaitRoom(); err != nil {
			return waits, err
		}
		taken := 0
		err := s.walk(ctx, sel, from, func(f *found) bool {
			if taken == controlBatch {
				return false
			}
			from = f.place
			if f.entry != nil && f.entry.state != waiting {
				return true
			}
			waits++
			if f.view().aside != 0 {
				taken++
				s.restore(f)
			}
			return true
		})
		if err != nil || taken < controlBatch {
			return waits, err
		}
		s.requestIfDue()
	}
}

// requestIfDue asks for a checkpoint, as no record does that is written.
func (s *Store) requestIfDue() {
	s.mu.Lock()
	due := s.checkpointDue()
	s.mu.Unlock()
	if due {
		s.checkpoints.request()
	}
}

// restore undoes setAside.
func (s *Store) restore(f *found) {
	e := f.entry
	if e == nil {
		e = s.adopt(f.row)
	}
	s.leaveHead(e)
	e.due, e.aside = e.aside, 0
	s.dirtyEntries.add(e)
	s.wait(e)
}

func appendHold(b []byte, h *queue.Hold) []byte {
	b = append(b, encodingVersion)
	b = append(b, h.ID[:]...)
	b = appendTime(b, h.Since)
	b = appendString(b, h.Reason)
	b = append(b, h.Selector.Message[:]...)
	b = appendString(b, h.Selector.Recipient.String())
	b = appendString(b, h.Selector.Tenant)
	b = appendString(b, h.Selector.Stream)
	b = appendString(b, h.Selector.Campaign)
	return appendString(b, string(h.Selector.Domain))
}

func decodeHold(b []byte) (queue.Hold, error) {
	d := decoder{b: b}
	var h queue.Hold
	if d.byte() != encodingVersion {
		d.fail()
	}
	copy(h.ID[:], d.take(uint64(len(h.ID))))
	h.Since, h.Reason = d.time(), d.string()
	copy(h.Selector.Message[:], d.take(uint64(len(h.Selector.Message))))
	h.Selector.Recipient = d.address()
	h.Selector.Tenant, h.Selector.Stream, h.Selector.Campaign = d.string(), d.string(), d.string()
	h.Selector.Domain = mail.Domain(d.string())
	if d.err != nil {
		return queue.Hold{}, fmt.Errorf("hold: %w", d.err)
	}
	return h, nil
}

func (s *Store) replayHold(r journal.Record) error {
	if r.Kind == kindRelease {
		var id queue.ID
		if len(r.Payload) != len(id) {
			return fmt.Errorf("release record: %w", errEncoding)
		}
		copy(id[:], r.Payload)
		if h, ok := s.holds.all[id]; ok && !h.Selector.OfQueues() {
			s.released = append(s.released, h.Selector)
		}
		s.holds.remove(id)
		return nil
	}
	h, err := decodeHold(r.Payload)
	if err != nil {
		return err
	}
	s.holds.set(h)
	return nil
}

// finishReleases takes up what releases had set out to when the process ended,
// as far as the journal still tells of them.
func (s *Store) finishReleases() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.background.Go(func() {
		select {
		case <-s.stop:
			cancel()
		case <-ctx.Done():
		}
	})
	for _, sel := range s.released {
		if _, err := s.takeUp(ctx, sel); err != nil && !s.stopping() {
			s.options.Logger.Warn("store: what was released waits for its next look", "error", err)
		}
	}
}

func (s *Store) loadHold(_, v []byte) error {
	h, err := decodeHold(v)
	if err != nil {
		return err
	}
	s.holds.set(h)
	return nil
}

// writeHolds replaces the rows: there are few.
func writeHolds(tx *bolt.Tx, all []queue.Hold) error {
	if err := tx.DeleteBucket([]byte(bucketHolds)); err != nil {
		return err
	}
	b, err := tx.CreateBucket([]byte(bucketHolds))
	if err != nil {
		return err
	}
	for i := range all {
		if err := b.Put(all[i].ID[:], appendHold(nil, &all[i])); err != nil {
			return err
		}
	}
	return nil
}

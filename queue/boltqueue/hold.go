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
	// releases are holds of recipients that ended, and whose recipients are
	// being taken up.
	releases []*release
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
	if hold := h.ofQueue(queue.KeyOf(m, r)); hold != nil {
		return hold.Reason
	}
	if hold := h.ofRecipient(m, r.Address); hold != nil {
		return hold.Reason
	}
	return ""
}

// holdChange is a hold or release record on its way.
type holdChange struct {
	hold queue.Hold
	// released ends the hold; release takes up what it had set aside, and is nil
	// where it set nothing aside.
	released bool
	release  *release
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
	change, waiting := &holdChange{hold: h, released: true}, 0
	if h.Selector.OfQueues() {
		waiting = s.countWaiting(h.Selector) // before any of it can go
	} else {
		change.release = newRelease(h.Selector)
	}
	w := &journal.Write{Kind: kindRelease, Head: id[:], Value: change}
	if err := s.journal.Append(ctx, w); err != nil {
		return 0, storageError(err)
	}
	if change.release == nil {
		return waiting, nil
	}
	return s.awaitTakenUp(ctx, change.release)
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
	if c.released {
		s.holds.remove(c.hold.ID)
		s.reopen()
	} else {
		c.release = s.holds.replace(c.hold)
	}
	if c.release != nil {
		s.holds.releases = append(s.holds.releases, c.release)
		s.background.Go(func() { s.runRelease(c.release) })
	}
}

// replace sets a hold, and returns the release of one that had its id and chose
// other recipients; nil for none.
func (h *holds) replace(hold queue.Hold) *release {
	before, ok := h.all[hold.ID]
	h.set(hold)
	if !ok || before.Selector == hold.Selector || before.Selector.OfQueues() {
		return nil
	}
	return newRelease(before.Selector)
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

func appendHold(b []byte, h *queue.Hold) []byte {
	b = append(b, encodingVersion)
	b = append(b, h.ID[:]...)
	b = appendTime(b, h.Since)
	b = appendString(b, h.Reason)
	return appendSelector(b, &h.Selector)
}

func appendSelector(b []byte, s *queue.Selector) []byte {
	b = append(b, s.Message[:]...)
	b = appendString(b, s.Recipient.String())
	b = appendString(b, s.Tenant)
	b = appendString(b, s.Stream)
	b = appendString(b, s.Campaign)
	return appendString(b, string(s.Domain))
}

func (d *decoder) selector() queue.Selector {
	var s queue.Selector
	copy(s.Message[:], d.take(uint64(len(s.Message))))
	s.Recipient = d.address()
	s.Tenant, s.Stream, s.Campaign = d.string(), d.string(), d.string()
	s.Domain = mail.Domain(d.string())
	return s
}

func decodeHold(b []byte) (queue.Hold, error) {
	d := decoder{b: b}
	var h queue.Hold
	if d.byte() != encodingVersion {
		d.fail()
	}
	copy(h.ID[:], d.take(uint64(len(h.ID))))
	h.Since, h.Reason = d.time(), d.string()
	h.Selector = d.selector()
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
			s.holds.releases = append(s.holds.releases, newRelease(h.Selector))
		}
		s.holds.remove(id)
		return nil
	}
	h, err := decodeHold(r.Payload)
	if err != nil {
		return err
	}
	if before := s.holds.replace(h); before != nil {
		s.holds.releases = append(s.holds.releases, before)
	}
	return nil
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

package boltqueue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/queue"
)

// release takes up what a hold of recipients had set aside. It is known to the
// checkpoints until it is through, so that it goes on after a restart.
type release struct {
	selector queue.Selector
	// waiting counts what waits and matches; guarded by Store.mu.
	waiting int
	// done is closed at the end; heldUp takes why that lasts.
	done   chan struct{}
	heldUp chan error
}

func newRelease(sel queue.Selector) *release {
	return &release{selector: sel, done: make(chan struct{}), heldUp: make(chan error, 1)}
}

// awaitTakenUp waits until all that a hold had set aside is due again.
func (s *Store) awaitTakenUp(ctx context.Context, r *release) (int, error) {
	var err error
	select {
	case <-r.done:
	case err = <-r.heldUp:
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.stop:
		err = queue.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.waiting, err
}

// runRelease takes up what was set aside, again and again if that fails.
func (s *Store) runRelease(r *release) {
	for backOff := firstBackOff; ; backOff = min(2*backOff, longestBackOff) {
		err := s.takeUp(r)
		if err == nil {
			break
		}
		if errors.Is(err, queue.ErrClosed) || s.stopping() {
			return
		}
		select {
		case r.heldUp <- err:
		default: // nobody waits any more
		}
		s.options.Logger.Warn("store: a release is held up, trying again", "error", err, "pause", backOff)
		s.pause(backOff)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds.releases = slices.DeleteFunc(s.holds.releases, func(other *release) bool { return other == r })
	s.holds.changed = true
	close(r.done)
}

// takeUp makes due again what was set aside, batch by batch, and counts all
// that waits and matches.
func (s *Store) takeUp(r *release) error {
	s.mu.Lock()
	r.waiting = 0
	s.mu.Unlock()
	for from := (place{}); ; {
		if err := s.awaitRoom(); err != nil {
			return err
		}
		taken := 0
		err := s.walk(context.Background(), r.selector, from, func(f *found) bool {
			if taken == controlBatch {
				return false
			}
			from = f.place
			if f.entry != nil && f.entry.state != waiting {
				return true
			}
			r.waiting++
			if f.view().aside != 0 && s.cancelOf(f) == nil {
				taken++
				s.restore(f)
			}
			return true
		})
		if err != nil || taken < controlBatch {
			return err
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

// ofReleases returns what is being taken up.
func (h *holds) ofReleases() []queue.Selector {
	var all []queue.Selector
	for _, r := range h.releases {
		all = append(all, r.selector)
	}
	return all
}

func (s *Store) loadRelease(_, v []byte) error {
	d := decoder{b: v}
	r := newRelease(d.selector())
	if d.err != nil {
		return fmt.Errorf("release: %w", d.err)
	}
	s.holds.releases = append(s.holds.releases, r)
	return nil
}

// writeReleases replaces the rows: there are few.
func writeReleases(tx *bolt.Tx, all []queue.Selector) error {
	if err := tx.DeleteBucket([]byte(bucketReleases)); err != nil {
		return err
	}
	b, err := tx.CreateBucket([]byte(bucketReleases))
	if err != nil {
		return err
	}
	for i := range all {
		if err := b.Put(binary.BigEndian.AppendUint32(nil, uint32(i)), appendSelector(nil, &all[i])); err != nil {
			return err
		}
	}
	return nil
}

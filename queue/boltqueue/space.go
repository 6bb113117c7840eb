package boltqueue

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/postrider-mta/postrider/queue"
)

// freshness is how long a measurement of the disk stands.
const freshness = 100 * time.Millisecond

// space knows whether there is room for more mail.
type space struct {
	store *Store

	mu       sync.Mutex
	measured time.Time
	err      error
}

// check returns ErrFull if a body of that length should not be accepted.
func (s *space) check(size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.measured.IsZero() || now.Sub(s.measured) > freshness || now.Before(s.measured) {
		s.measured, s.err = now, s.measure(size)
	}
	return s.err
}

func (s *space) measure(size int64) error {
	o := &s.store.options
	reusable := s.store.freePages() + s.store.journal.Stats().SpareBytes
	if o.MinFree > 0 {
		free, err := o.Files.FreeBytes(o.Dir)
		if err != nil {
			return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
		}
		if free+reusable < o.MinFree+size {
			return fmt.Errorf("%w: %d octets free, %d must stay so", queue.ErrFull, free+reusable, o.MinFree)
		}
	}
	if used := s.store.usedBytes() - s.store.freePages(); o.MaxBytes > 0 && used+size > o.MaxBytes {
		return fmt.Errorf("%w: %d octets used of %d", queue.ErrFull, used, o.MaxBytes)
	}
	return nil
}

// freePages returns the octets in queue.db that can be written again, at the
// next commit but one at the latest.
func (s *Store) freePages() int64 {
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	stats := s.db.Stats()
	return int64(stats.FreePageN+stats.PendingPageN) * int64(s.db.Info().PageSize)
}

func (s *Store) usedBytes() int64 { return s.journal.Stats().Bytes + s.databaseBytes() }

// isFull reports errors that mean: no room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, bolterrors.ErrMaxSizeReached)
}

package suppress

import (
	"context"
	"errors"
	"fmt"
	"sync"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
)

// maxGroup bounds the changes of one transaction.
const maxGroup = 1000

// change is one caller's part of a transaction.
type change struct {
	apply func(*write) error
	done  chan error
}

// committer writes what concurrent callers ask for in common transactions: it
// takes whatever is waiting, without a timer.
type committer struct {
	store   *Store
	changes chan *change
	stop    chan struct{}
	stopped sync.WaitGroup
	once    sync.Once

	// writing is held through a transaction and while the file is exchanged.
	writing sync.Mutex
	// touched are the rows changed since a copy of the file began, those of
	// failed transactions too; nil when there is none.
	touched map[string]struct{}
}

func newCommitter(s *Store) *committer {
	c := &committer{store: s, changes: make(chan *change), stop: make(chan struct{})}
	c.stopped.Go(c.run)
	return c
}

// do hands over a change and waits until it is durable. Once handed over it is
// waited for, since it can no longer be taken back.
func (c *committer) do(ctx context.Context, apply func(*write) error) error {
	x := &change{apply: apply, done: make(chan error, 1)}
	select {
	case c.changes <- x:
	case <-c.stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := <-x.done; err != nil {
		return fmt.Errorf("change suppressions: %w", err)
	}
	return nil
}

func (c *committer) run() {
	for {
		select {
		case first := <-c.changes:
			c.commit(c.gather(first))
		case <-c.stop:
			return
		}
	}
}

func (c *committer) gather(first *change) []*change {
	group := []*change{first}
	for len(group) < maxGroup {
		select {
		case next := <-c.changes:
			group = append(group, next)
		default:
			return group
		}
	}
	return group
}

func (c *committer) commit(group []*change) {
	c.writing.Lock()
	defer c.writing.Unlock()
	w := &write{touched: c.touched, remember: c.store.remember}
	err := c.store.update(func(tx *bolt.Tx) error {
		w.tx = tx
		for _, x := range group {
			if err := x.apply(w); err != nil {
				return err
			}
		}
		return nil
	})
	if len(w.listed) > 0 { // also after an error: what was written then may come to count
		c.store.nowListed(w.listed)
	}
	c.store.revision.Add(1) // in any case: of what failed it is not known whether it took effect
	for _, x := range group {
		x.done <- err
	}
}

func (c *committer) close() {
	c.once.Do(func() { close(c.stop) })
	c.stopped.Wait()
}

// update runs fn in a write transaction. After a failure to write, the file goes
// on being read: a disk that takes nothing is no reason to mail nobody.
func (s *Store) update(fn func(*bolt.Tx) error) error {
	db, err := s.writable()
	if err != nil {
		return err
	}
	if err = asDamage(db.Update(fn)); errors.Is(err, boltguard.ErrDamaged) {
		return s.abandon(err)
	}
	return err
}

// abandon gives up a damaged database: from now on nobody may be mailed.
func (s *Store) abandon(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	db := s.db
	s.db, s.fault = nil, cause
	s.logger.Error("suppressions are damaged", "path", s.path, "error", cause)
	return errors.Join(cause, db.Close())
}

// writable returns the database, which is opened again where that failed
// before, unless it is damaged.
func (s *Store) writable() (*boltguard.DB, error) {
	s.mu.RLock()
	db, fault := s.db, s.fault
	s.mu.RUnlock()
	if db != nil {
		return db, nil
	}
	if errors.Is(fault, ErrDamaged) {
		return nil, fault
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.take()
	return s.db, err
}

// take opens the file as it is now. The caller holds mu.
func (s *Store) take() error {
	s.db, s.fault = s.openFile()
	if s.fault != nil {
		s.logger.Error("suppressions cannot be read", "path", s.path, "error", s.fault)
	}
	return s.fault
}

package suppress

import (
	"context"
	"errors"
	"fmt"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// maxGroup bounds the changes of one transaction.
const maxGroup = 1000

// Add keeps an entry, durably on return, and reports whether it is new: one
// for the same address, stream and reason stays as it was.
func (s *Store) Add(ctx context.Context, e Entry) (changed bool, err error) {
	if err := e.check(); err != nil {
		return false, err
	}
	value, err := e.withoutErased().encode()
	if err != nil {
		return false, err
	}
	n, err := s.committer.do(ctx, &change{add: true, key: s.secret.key(&e), value: value})
	return n > 0, err
}

// Remove forgets the entries of a tenant and an address, durably on return,
// and returns how many there were. The selector's stream and reason narrow it
// down to those of that stream and reason.
func (s *Store) Remove(ctx context.Context, x Selector) (int, error) {
	if x.Tenant == "" || x.Address.IsZero() {
		return 0, fmt.Errorf("%w: removing needs a tenant and an address", ErrEntry)
	}
	return s.committer.do(ctx, &change{selector: x, prefix: s.secret.prefix(x.Tenant, x.Address)})
}

// change is one Add or Remove on its way into a transaction.
type change struct {
	add        bool
	key, value []byte
	selector   Selector
	prefix     []byte

	touched [][]byte
	count   int
	done    chan error
}

func (c *change) apply(tx *bolt.Tx) error {
	c.touched, c.count = nil, 0
	bucket := tx.Bucket([]byte(entriesBucket))
	if c.add {
		if bucket.Get(c.key) != nil {
			return nil
		}
		c.touched, c.count = [][]byte{c.key}, 1
		return bucket.Put(c.key, c.value)
	}
	return c.remove(tx, bucket)
}

func (c *change) remove(tx *bolt.Tx, bucket *bolt.Bucket) error {
	found, err := entriesOf(bucket, c.prefix)
	if err != nil {
		return err
	}
	for _, f := range found {
		if !c.selector.matchScope(&f.entry) {
			continue
		}
		if err := bucket.Delete(f.key); err != nil {
			return err
		}
		c.touched = append(c.touched, f.key)
	}
	if c.count = len(c.touched); c.count == 0 {
		return nil
	}
	return tx.Bucket([]byte(metaBucket)).Put([]byte(metaResidue), []byte{1})
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
	// touched are the keys changed since a copy of the file began; nil when
	// there is none.
	touched map[string]struct{}
}

func newCommitter(s *Store) *committer {
	c := &committer{store: s, changes: make(chan *change), stop: make(chan struct{})}
	c.stopped.Go(c.run)
	return c
}

// do hands over a change and waits until it is durable. Once handed over it is
// waited for, since it can no longer be taken back.
func (c *committer) do(ctx context.Context, x *change) (int, error) {
	x.done = make(chan error, 1)
	select {
	case c.changes <- x:
	case <-c.stop:
		return 0, ErrClosed
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if err := <-x.done; err != nil {
		return 0, fmt.Errorf("change suppressions: %w", err)
	}
	return x.count, nil
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
	err := c.store.update(func(tx *bolt.Tx) error {
		for _, x := range group {
			if err := x.apply(tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, x := range group {
		if c.touched != nil {
			for _, key := range x.touched {
				c.touched[string(key)] = struct{}{}
			}
		}
		x.done <- err
	}
}

func (c *committer) close() {
	c.once.Do(func() { close(c.stop) })
	c.stopped.Wait()
}

// update runs fn in a write transaction. After a failure to write the file is
// opened anew, so that what is believed of it is what it holds.
func (s *Store) update(fn func(*bolt.Tx) error) error {
	db, err := s.writable()
	if err != nil {
		return err
	}
	err = guard(func() error { return db.Update(fn) })
	switch {
	case isFault(err):
		return s.abandon(err)
	case err != nil:
		return s.reopen(err)
	}
	return nil
}

// abandon gives up a damaged database: from now on nobody may be mailed. It is
// left open, see fault.
func (s *Store) abandon(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db, s.fault = nil, cause
	s.logger.Error("suppressions are damaged", "path", s.path, "error", cause)
	return cause
}

// writable returns the database, which is opened again where that failed
// before, unless it is damaged.
func (s *Store) writable() (*bolt.DB, error) {
	s.mu.RLock()
	db, fault := s.db, s.fault
	s.mu.RUnlock()
	if db != nil {
		return db, nil
	}
	if errors.Is(fault, ErrDamaged) {
		return nil, fault
	}
	if err := s.reopen(nil); err != nil {
		return nil, err
	}
	return s.db, nil // only the committer and Close change it from here
}

func (s *Store) reopen(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		cause = errors.Join(cause, s.db.Close())
	}
	return errors.Join(cause, s.take())
}

// take opens the file as it is now. The caller holds mu.
func (s *Store) take() error {
	s.db, s.fault = s.openFile()
	if s.fault != nil {
		s.logger.Error("suppressions cannot be read", "path", s.path, "error", s.fault)
	}
	return s.fault
}

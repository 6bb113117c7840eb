package suppress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/mail"
)

// copyBatch is how many entries are copied in one transaction.
const copyBatch = 2000

// rewrite replaces the database by a copy in which the entries under prefix
// are what replace makes of them. A copy, because what bbolt deletes stays
// readable in the file's free pages. Check goes on meanwhile, and so do Add
// and Remove but for the last moment.
func (s *Store) rewrite(ctx context.Context, prefix []byte, replace func([]Entry) []Entry) (int, error) {
	s.rewriting.Lock()
	defer s.rewriting.Unlock()
	if err := s.committer.watch(); err != nil {
		return 0, err
	}
	defer s.committer.unwatch()
	to, err := s.newFile()
	if err != nil {
		return 0, fmt.Errorf("rewrite suppressions: %w", err)
	}
	c := &copier{store: s, to: to, prefix: prefix, replace: replace}
	if err := c.run(ctx); err != nil {
		return 0, fmt.Errorf("rewrite suppressions: %w", errors.Join(err, removeIfThere(s.newPath())))
	}
	return c.replaced, nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// watch begins to remember which keys change.
func (c *committer) watch() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.store.view(func(*bolt.Tx) error { return nil }); err != nil {
		return err
	}
	c.touched = map[string]struct{}{}
	return nil
}

func (c *committer) unwatch() {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.touched = nil
}

// copier copies all entries but those under prefix.
type copier struct {
	store    *Store
	to       *bolt.DB
	prefix   []byte
	replace  func([]Entry) []Entry
	replaced int
}

// run closes the copy in any case.
func (c *copier) run(ctx context.Context) error {
	// Nothing reads the copy before the Sync in finish.
	c.to.NoSync = true
	if err := c.copyAll(ctx); err != nil {
		return errors.Join(err, c.to.Close())
	}
	writing := &c.store.committer.writing
	writing.Lock()
	defer writing.Unlock()
	err := c.finish()
	if err = errors.Join(err, c.to.Close()); err != nil {
		return err
	}
	return c.exchange()
}

func (c *copier) copyAll(ctx context.Context) error {
	for from := []byte{}; from != nil; {
		if err := ctx.Err(); err != nil {
			return err
		}
		pairs, next, err := c.read(from)
		if err != nil {
			return err
		}
		if err := c.write(pairs); err != nil {
			return err
		}
		from = next
	}
	return nil
}

type pair struct{ key, value []byte }

// read returns a batch from a key on, and where the next begins, nil at the
// end.
func (c *copier) read(from []byte) (pairs []pair, next []byte, err error) {
	err = c.store.view(func(tx *bolt.Tx) error {
		cursor := tx.Bucket([]byte(entriesBucket)).Cursor()
		for k, v := cursor.Seek(from); k != nil; k, v = cursor.Next() {
			if len(pairs) == copyBatch {
				next = slices.Clone(k)
				return nil
			}
			if !bytes.HasPrefix(k, c.prefix) {
				pairs = append(pairs, pair{slices.Clone(k), slices.Clone(v)})
			}
		}
		return nil
	})
	return pairs, next, err
}

func (c *copier) write(pairs []pair) error {
	return c.to.Update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket([]byte(entriesBucket))
		bucket.FillPercent = 0.9
		for _, p := range pairs {
			if err := bucket.Put(p.key, p.value); err != nil {
				return err
			}
		}
		return nil
	})
}

// finish brings the copy up to date and makes it durable. No change is under
// way.
func (c *copier) finish() error {
	err := c.store.view(func(old *bolt.Tx) error {
		return c.to.Update(func(tx *bolt.Tx) error {
			from, to := old.Bucket([]byte(entriesBucket)), tx.Bucket([]byte(entriesBucket))
			removed, err := c.catchUp(from, to)
			if err == nil && removed {
				err = tx.Bucket([]byte(metaBucket)).Put([]byte(metaResidue), []byte{1})
			}
			if err != nil {
				return err
			}
			return c.putReplacements(from, to)
		})
	})
	if err != nil {
		return err
	}
	return c.to.Sync()
}

// catchUp copies what changed since the copy began, and reports that it
// removed something already copied.
func (c *copier) catchUp(from, to *bolt.Bucket) (removed bool, err error) {
	for key := range c.store.committer.touched {
		key := []byte(key)
		if bytes.HasPrefix(key, c.prefix) {
			continue
		}
		value := from.Get(key)
		switch {
		case value != nil:
			err = to.Put(key, value)
		case to.Get(key) != nil:
			removed = true
			err = to.Delete(key)
		}
		if err != nil {
			return false, err
		}
	}
	return removed, nil
}

func (c *copier) putReplacements(from, to *bolt.Bucket) error {
	rows, err := entriesOf(from, c.prefix)
	if err != nil {
		return err
	}
	entries := make([]Entry, len(rows))
	for i, r := range rows {
		entries[i] = r.entry
	}
	c.replaced = len(rows)
	for _, e := range c.replace(entries) {
		value, err := e.withoutErased().encode()
		if err != nil {
			return err
		}
		if err := to.Put(c.store.secret.key(&e), value); err != nil {
			return err
		}
	}
	return nil
}

// withoutErased leaves the address out of an erased entry, whose key alone
// tells it.
func (e *Entry) withoutErased() *Entry {
	if e.Reason != Erased {
		return e
	}
	hidden := *e
	hidden.Address, hidden.Source = mail.Address{}, ""
	return &hidden
}

// exchange opens the copy in the old file's place.
func (c *copier) exchange() error {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := rename(s.newPath(), s.path); err != nil {
		return err
	}
	err := s.db.Close()
	return errors.Join(err, s.take())
}

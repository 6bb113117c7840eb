package suppress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/datafolder"
)

// copyBatch is how many entries are copied in one transaction.
const copyBatch = 2000

// rewrite replaces the database by a copy in which the entries under prefixes
// are what replace makes of them, and no soft bounce is counted there. A copy, because what bbolt deletes stays
// readable in the file's free pages. Check goes on meanwhile, and so do Add
// and Remove but for the last moment.
func (s *Store) rewrite(ctx context.Context, prefixes [][]byte, replace func([]row) []placed) (int, error) {
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
	c := &copier{store: s, to: to, prefixes: prefixes, replace: replace}
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

// copier copies all rows but those under prefixes.
type copier struct {
	store    *Store
	to       *bolt.DB
	prefixes [][]byte
	replace  func([]row) []placed
	replaced int
}

// leaves reports whether a row is one that is not copied.
func (c *copier) leaves(bucket string, key []byte) bool {
	return (bucket == entriesBucket || bucket == softBucket) && slices.ContainsFunc(c.prefixes, func(prefix []byte) bool {
		return bytes.HasPrefix(key, prefix)
	})
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
	for _, bucket := range dataBuckets() {
		for from := []byte{}; from != nil; {
			if err := ctx.Err(); err != nil {
				return err
			}
			pairs, next, err := c.read(bucket, from)
			if err != nil {
				return err
			}
			if err := c.write(bucket, pairs); err != nil {
				return err
			}
			from = next
		}
	}
	return nil
}

type pair struct{ key, value []byte }

// read returns a batch of a bucket from a key on, and where the next begins,
// nil at the end.
func (c *copier) read(bucket string, from []byte) (pairs []pair, next []byte, err error) {
	err = c.store.view(func(tx *bolt.Tx) error {
		cursor := tx.Bucket([]byte(bucket)).Cursor()
		for k, v := cursor.Seek(from); k != nil; k, v = cursor.Next() {
			if len(pairs) == copyBatch {
				next = slices.Clone(k)
				return nil
			}
			if !c.leaves(bucket, k) {
				pairs = append(pairs, pair{slices.Clone(k), slices.Clone(v)})
			}
		}
		return nil
	})
	return pairs, next, err
}

func (c *copier) write(name string, pairs []pair) error {
	return c.to.Update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket([]byte(name))
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
			w := &write{tx: tx, remember: c.store.remember}
			removed, err := c.catchUp(old, w)
			if err == nil && removed {
				err = w.residue()
			}
			if err != nil {
				return err
			}
			return c.putReplacements(old.Bucket([]byte(entriesBucket)), w)
		})
	})
	if err != nil {
		return err
	}
	return c.to.Sync()
}

// catchUp copies what changed since the copy began, and reports that it
// removed something already copied.
func (c *copier) catchUp(old *bolt.Tx, w *write) (removed bool, err error) {
	for row := range c.store.committer.touched {
		bucket, text, _ := strings.Cut(row, "\x00")
		key := []byte(text)
		if c.leaves(bucket, key) {
			continue
		}
		value := old.Bucket([]byte(bucket)).Get(key)
		switch {
		case value != nil:
			err = w.put(bucket, key, value)
		case w.get(bucket, key) != nil:
			removed = true
			err = w.delete(bucket, key)
		}
		if err != nil {
			return false, err
		}
	}
	return removed, nil
}

func (c *copier) putReplacements(from *bolt.Bucket, w *write) error {
	var all []row
	for _, prefix := range c.prefixes {
		rows, err := c.store.secret.entriesOf(from, prefix)
		if err != nil {
			return err
		}
		all = append(all, rows...)
	}
	c.replaced = len(all)
	for _, p := range c.replace(all) {
		if err := w.place(p); err != nil {
			return err
		}
	}
	return nil
}

// exchange opens the copy in the old file's place.
func (c *copier) exchange() error {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := datafolder.Rename(s.newPath(), s.path); err != nil {
		return err
	}
	err := s.db.Close()
	err = errors.Join(err, s.take())
	s.revision.Add(1)
	return err
}

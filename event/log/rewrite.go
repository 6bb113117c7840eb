package log

import (
	"context"
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/event"
)

// copyBatch is how many records are copied in one transaction, so that
// neither file is held for long.
const copyBatch = 1000

// rewrite replaces a day's file by a copy whose events were changed, and
// returns how many were. A copy, because what bbolt deletes or overwrites stays
// readable in the file's free pages. The day stays in use: only while the last
// few records are copied does Append wait.
//
// The caller holds rewriting.
func (l *Log) rewrite(ctx context.Context, d *day, change changer) (changed int, err error) {
	base, err := l.shelf.base(d)
	if err != nil {
		return 0, err
	}
	path := l.shelf.path(d.name, newSuffix)
	db, err := newFile(path, about{base: base, position: base})
	if err != nil {
		return 0, err
	}
	c := &copier{shelf: l.shelf, from: d, to: db, change: change, about: about{base: base, position: base}}
	if err = l.copyAndReplace(ctx, c); err != nil {
		return 0, errors.Join(err, removeIfThere(path))
	}
	return c.changed, nil
}

// copyAndReplace closes c.to in any case.
func (l *Log) copyAndReplace(ctx context.Context, c *copier) error {
	// Nothing reads the copy before Sync below, so until then a sync for each
	// transaction would be wasted.
	c.to.NoSync = true
	if err := c.all(ctx); err != nil {
		return errors.Join(err, c.to.Close())
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	err := c.all(ctx)
	if err == nil {
		err = c.finish()
	}
	if err = errors.Join(err, c.to.Close()); err != nil {
		return err
	}
	return l.shelf.replace(c.from)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// changer changes an event and reports that it did. It sees every stored
// value that it said might concern it.
type changer interface {
	concerns(value []byte) bool
	change(e *event.Event) bool
}

// copier copies one file's records, with the way to accepted ones.
type copier struct {
	shelf   *shelf
	from    *day
	to      *bolt.DB
	change  changer
	about   about
	changed int
}

// all copies what lies after the last record copied.
func (c *copier) all(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		values, err := c.shelf.values(c.from, c.about.position, copyBatch)
		if err != nil || len(values) == 0 {
			return err
		}
		err = c.to.Update(func(tx *bolt.Tx) error { return c.put(newPage(tx), values) })
		if err != nil {
			return err
		}
	}
}

func (c *copier) put(p page, values []value) error {
	for _, v := range values {
		e, err := decode(v.raw)
		if err != nil {
			// Kept as it is: what cannot be read is not for us to remove.
			err = p.events.Put(key(v.position), v.raw)
		} else {
			err = c.putEvent(p, v, &e)
		}
		if err != nil {
			return err
		}
		c.about.position = v.position
		c.about.count++
	}
	return nil
}

func (c *copier) putEvent(p page, v value, e *event.Event) error {
	if c.change.concerns(v.raw) && c.change.change(e) {
		raw, _, err := encode(e)
		if err != nil {
			return err
		}
		v.raw = raw
		c.changed++
	}
	return p.put(v.position, e, v.raw)
}

// finish carries the numbers over and makes the copy durable.
func (c *copier) finish() error {
	old, err := c.shelf.describe(c.from)
	if err != nil {
		return err
	}
	if old.position < c.about.position {
		return fmt.Errorf("%w: records after position %d", ErrDamaged, old.position)
	}
	c.about.position = old.position
	if err := c.to.Update(func(tx *bolt.Tx) error { return writeAbout(tx, c.about) }); err != nil {
		return err
	}
	return c.to.Sync()
}

package boltguard

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// DB is an open file. View, Update and Close are safe on one that is, or
// becomes, damaged; the methods of bbolt's own are for what touches no page.
type DB struct {
	*bolt.DB
	file *os.File

	// writing is held during an update. doubtful: the last one failed, and
	// nobody knows what of it the disk has.
	writing  sync.Mutex
	doubtful bool

	mu sync.Mutex // guards what follows
	// dead: nothing goes any more. sealed: nothing can be written any more,
	// since the locks of a write that faulted are held for good.
	dead, sealed error
	// head is room for the meta pages.
	head []byte
}

// View reads in a transaction. What it meets of damage is a *Fault; the rest
// of the file can still be read.
func (d *DB) View(read func(*bolt.Tx) error) error {
	tx, err := d.begin(false)
	if err != nil {
		return err
	}
	err = d.named(Run(func() error { return read(tx) }))
	if ended := d.endView(tx); err == nil {
		err = ended
	}
	return err
}

// Update changes the file in a transaction that is durable when it returns
// nil. After a *Fault, which means damage, the file can only be read. Any other
// error may pass; whether the transaction took effect is then open, and the
// next Update sees to that what readers see of it is on disk before it begins.
func (d *DB) Update(write func(*bolt.Tx) error) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := d.settle(); err != nil {
		return err
	}
	tx, err := d.begin(true)
	if err != nil {
		return err
	}
	// A panic must not reach bbolt's way back, which reads more pages.
	err = Run(func() error { return write(tx) })
	if !isFault(err) {
		err = d.finish(tx, err)
	}
	err = d.named(err)
	if isFault(err) {
		d.seal(err)
	}
	return err
}

// settle makes certain what the last update left in doubt.
func (d *DB) settle() error {
	if !d.doubtful {
		return nil
	}
	if err := renew(d.file); err != nil {
		return named(d.file.Name(), err)
	}
	d.doubtful = false
	return nil
}

func (d *DB) finish(tx *bolt.Tx, cause error) error {
	if cause != nil {
		return errors.Join(cause, d.rollback(tx))
	}
	err := Run(tx.Commit)
	d.doubtful = err != nil
	if err != nil && !isFault(err) && tx.DB() != nil {
		err = errors.Join(err, d.rollback(tx))
	}
	return err
}

// rollback ends a write that is not to be. As in open, what bbolt may read all
// of is looked at first; where it is damaged the transaction is left behind.
func (d *DB) rollback(tx *bolt.Tx) error {
	m, err := readMeta(d.file)
	if err == nil && m.freelist == noFreelist {
		err = scanFile(d.file)
	}
	if err != nil {
		return &Fault{err}
	}
	return Run(tx.Rollback)
}

func (d *DB) begin(writable bool) (tx *bolt.Tx, err error) {
	if err := d.usable(writable); err != nil {
		return nil, err
	}
	err = d.named(Run(func() (err error) {
		tx, err = d.DB.Begin(writable)
		return err
	}))
	if isFault(err) {
		d.bury(err)
	}
	return tx, err
}

// usable looks at the meta pages first: where bbolt meets a fault in them it
// leaves locks held that all others wait for.
func (d *DB) usable(writable bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.dead != nil:
		return d.dead
	case writable && d.sealed != nil:
		return d.sealed
	}
	if _, err := d.file.ReadAt(d.head, 0); err != nil && !errors.Is(err, io.EOF) {
		return named(d.file.Name(), err) // which may pass
	} else if err != nil {
		d.dead = d.named(&Fault{err})
		return d.dead
	}
	_, first := decodeMeta(d.head)
	_, second := decodeMeta(d.head[len(d.head)/2:])
	if !first && !second {
		d.dead = d.named(&Fault{"it has no meta page any more"})
	}
	return d.dead
}

func (d *DB) endView(tx *bolt.Tx) error {
	d.mu.Lock()
	dead := d.dead
	d.mu.Unlock()
	if dead != nil {
		return nil // it is left behind with all the rest
	}
	return tx.Rollback()
}

func (d *DB) bury(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = err
}

func (d *DB) seal(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sealed = err
}

func (d *DB) named(err error) error {
	if isFault(err) {
		return fmt.Errorf("%s: %w", d.file.Name(), err)
	}
	return err
}

// Close waits for the transactions under way and closes the file. Of one that
// had a fault the mapping stays behind.
func (d *DB) Close() error {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.mu.Lock()
	broken := d.dead != nil || d.sealed != nil
	if broken && d.dead == nil {
		d.dead = d.sealed
	}
	d.mu.Unlock()
	if broken {
		return release(d.file)
	}
	return Run(d.DB.Close)
}

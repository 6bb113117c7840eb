package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The buckets of a day file.
const (
	// eventsBucket maps positions, big endian, to events as JSON.
	eventsBucket = "events"
	// acceptedBucket maps message and index to the accepted event's position.
	acceptedBucket = "accepted"
	// metaBucket maps names to numbers, big endian.
	metaBucket = "meta"
)

// The numbers in metaBucket.
const (
	metaBase     = "base"
	metaPosition = "position"
	metaCount    = "count"
)

// fillPercent packs pages that are written in the order of their keys.
const fillPercent = 0.95

// lockTimeout bounds the wait for a file that another process holds.
const lockTimeout = 5 * time.Second

// about is what a file says about itself.
type about struct {
	// base is the position before its first record.
	base uint64
	// position is that of its last record, or base.
	position uint64
	// count of its records.
	count uint64
	// low and high bound the keys of acceptedBucket.
	low, high string
}

func readAbout(tx *bolt.Tx) about {
	meta := tx.Bucket([]byte(metaBucket))
	a := about{
		base: number(meta.Get([]byte(metaBase))), position: number(meta.Get([]byte(metaPosition))),
		count: number(meta.Get([]byte(metaCount))),
	}
	cursor := tx.Bucket([]byte(acceptedBucket)).Cursor()
	low, _ := cursor.First()
	high, _ := cursor.Last()
	a.low, a.high = string(low), string(high)
	return a
}

func writeAbout(tx *bolt.Tx, a about) error {
	meta := tx.Bucket([]byte(metaBucket))
	return errors.Join(
		meta.Put([]byte(metaBase), key(a.base)),
		meta.Put([]byte(metaPosition), key(a.position)),
		meta.Put([]byte(metaCount), key(a.count)))
}

func key(position uint64) []byte { return binary.BigEndian.AppendUint64(nil, position) }

func number(raw []byte) uint64 {
	if len(raw) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(raw)
}

// openFile opens a finished day file and checks that it is whole enough to be
// read without a fault.
func openFile(path string, readOnly bool) (*bolt.DB, error) {
	if err := checkHeader(path); err != nil {
		return nil, err
	}
	var db *bolt.DB
	err := guard(func() (err error) {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: lockTimeout, ReadOnly: readOnly, FreelistType: bolt.FreelistMapType,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				return os.OpenFile(name, flag&^os.O_CREATE, mode)
			},
		})
		return err
	})
	if err != nil {
		return nil, asDamage(err)
	}
	if err := checkWhole(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// checkHeader refuses files so short that bbolt would take them for new ones.
func checkHeader(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: missing", ErrDamaged)
	}
	if err != nil {
		return err
	}
	if info.Size() < int64(2*os.Getpagesize()) {
		return fmt.Errorf("%w: only %d octets long", ErrDamaged, info.Size())
	}
	return nil
}

// checkWhole refuses a file that was cut: reading behind its end would be a
// fault of the process.
func checkWhole(db *bolt.DB) error {
	info, err := os.Stat(db.Path())
	if err != nil {
		return err
	}
	return guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			if tx.Size() > info.Size() {
				return fmt.Errorf("%w: %d of %d octets", ErrDamaged, info.Size(), tx.Size())
			}
			for _, name := range []string{eventsBucket, acceptedBucket, metaBucket} {
				if tx.Bucket([]byte(name)) == nil {
					return fmt.Errorf("%w: no bucket %q", ErrDamaged, name)
				}
			}
			return nil
		})
	})
}

// asDamage tells a file that is wrong from one that cannot be had now.
func asDamage(err error) error {
	for _, sign := range []error{
		bolterrors.ErrInvalid, bolterrors.ErrChecksum, bolterrors.ErrVersionMismatch, io.ErrUnexpectedEOF, io.EOF,
	} {
		if errors.Is(err, sign) {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return err
}

// guard runs what reads a memory-mapped file. Where pages are not what they
// should be, bbolt panics and the hardware faults; both become a *fault.
func guard(read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = &fault{cause}
		}
	}()
	return read()
}

// fault is an ErrDamaged that interrupted bbolt. If it was writing it may still
// hold its locks, and closing it would wait for ever.
type fault struct{ cause any }

func (f *fault) Error() string { return fmt.Sprintf("%v: %v", ErrDamaged, f.cause) }

func (f *fault) Is(target error) bool { return target == ErrDamaged }

func isFault(err error) bool {
	var f *fault
	return errors.As(err, &f)
}

// createFile makes a complete, synced file at path, over any remains of one.
func createFile(path string, a about) error {
	db, err := newFile(path, a)
	if err != nil {
		return err
	}
	return db.Close()
}

func newFile(path string, a about) (*bolt.DB, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{eventsBucket, acceptedBucket, metaBucket} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return writeAbout(tx, a)
	})
	if err != nil {
		return nil, errors.Join(err, db.Close(), os.Remove(path))
	}
	return db, nil
}

// rename moves a file and makes that durable.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
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
	// firstOnce and lastOnce bound those of onceBucket.
	firstOnce, lastOnce string
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
	a.firstOnce, a.lastOnce = onceBounds(tx)
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
func openFile(path string, readOnly bool) (*boltguard.DB, error) {
	db, err := boltguard.Open(path, &bolt.Options{Timeout: lockTimeout, ReadOnly: readOnly, FreelistType: bolt.FreelistMapType})
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: missing", ErrDamaged)
	}
	if err != nil {
		return nil, asDamage(err)
	}
	if err := checkWhole(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// checkWhole refuses a file without its buckets.
func checkWhole(db *boltguard.DB) error {
	return asDamage(db.View(func(tx *bolt.Tx) error {
		for _, name := range []string{eventsBucket, acceptedBucket, metaBucket} {
			if tx.Bucket([]byte(name)) == nil {
				return fmt.Errorf("%w: no bucket %q", ErrDamaged, name)
			}
		}
		return nil
	}))
}

// asDamage gives a file that is wrong the name that callers know.
func asDamage(err error) error {
	if errors.Is(err, boltguard.ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
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

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

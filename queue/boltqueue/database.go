package boltqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/queue/journal"
)

const (
	// lockTimeout is how long Open waits for another process to go.
	lockTimeout = 2 * time.Second
	// initialMap is address space, not memory: growing the map later would
	// wait for every reader.
	initialMap = 16 << 30
	// pageSize is of a new queue.db. Most changes hit pages of their own, which
	// a checkpoint holds in memory and writes as a whole: a quarter of the usual
	// length takes that much less of both.
	pageSize = 1024
)

// saved is what the last checkpoint says of itself.
type saved struct {
	position journal.Position
	// clean: nothing happened after it; the store was closed.
	clean bool
	// salt is the journal's.
	salt uint32
	// unfinished is the checkpoint that was begun after it.
	unfinished unfinished
}

// createDatabase makes queue.db whole under another name first: bbolt would
// leave a file that it cannot open if the power failed while it makes one.
func (s *Store) createDatabase(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if used, err := s.journalUsed(); err != nil || used {
		return errors.Join(err, errMissing)
	}
	unfinished := path + ".new"
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := newDatabase(unfinished); err != nil {
		return err
	}
	if err := os.Rename(unfinished, path); err != nil {
		return err
	}
	return s.options.Files.SyncDir(s.options.Dir)
}

// journalUsed reports whether the journal has a segment with anything in it.
func (s *Store) journalUsed() (bool, error) {
	entries, err := s.options.Files.ReadDir(filepath.Join(s.options.Dir, journalDir))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		info, err := entry.Info()
		return !entry.IsDir() && (err != nil || info.Size() > 0)
	}), err
}

// newDatabase makes an empty file.
func newDatabase(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout, PageSize: pageSize})
	if err != nil {
		return err
	}
	return db.Close()
}

func (s *Store) openDatabase() error {
	path := filepath.Join(s.options.Dir, databaseName)
	if err := s.createDatabase(path); err != nil {
		return advise(fmt.Errorf("create %s: %w", path, err))
	}
	db, err := boltguard.Open(path, databaseOptions())
	if errors.Is(err, bolterrors.ErrTimeout) {
		return fmt.Errorf("%s is in use by another process: %w", path, err)
	}
	if err != nil {
		return advise(err)
	}
	s.db = db
	if err := removeLeftover(filepath.Join(s.options.Dir, compactName)); err != nil {
		return fmt.Errorf("remove unfinished copy: %w", err)
	}
	if err := s.createBuckets(); err != nil {
		return advise(fmt.Errorf("prepare %s: %w", path, err))
	}
	if err := s.options.Files.SyncDir(s.options.Dir); err != nil {
		return fmt.Errorf("sync data folder: %w", err)
	}
	return nil
}

func databaseOptions() *bolt.Options {
	return &bolt.Options{
		Timeout: lockTimeout, FreelistType: bolt.FreelistMapType,
		InitialMmapSize: initialMap, PageSize: pageSize,
	}
}

func (s *Store) createBuckets() error {
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, name := range bucketNames() {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		meta := tx.Bucket([]byte(bucketMeta))
		format := getNumber(meta, metaFormat)
		if format == 0 {
			if used, err := s.journalUsed(); s.rebuilding == nil && (used || err != nil) {
				return errors.Join(err, errMissing)
			}
			return putNumber(meta, metaFormat, formatVersion)
		}
		if format != formatVersion {
			return fmt.Errorf("format %d is not the one this version reads (%d): %w", format, formatVersion, errFormat)
		}
		return nil
	})
}

func getNumber(b *bolt.Bucket, name string) uint64 {
	if v := b.Get([]byte(name)); len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func putNumber(b *bolt.Bucket, name string, n uint64) error {
	return b.Put([]byte(name), binary.BigEndian.AppendUint64(nil, n))
}

// loadQueues reads all queues and segments, the only things that memory holds
// of every one.
func (s *Store) loadQueues() (saved, error) {
	var at saved
	err := s.db.View(func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte(bucketMeta))
		at.position = journal.Position(getNumber(meta, metaPosition))
		at.clean = getNumber(meta, metaClean) == 1
		at.salt = uint32(getNumber(meta, metaSalt))
		s.nextQueue = max(1, getNumber(meta, metaQueues))
		var err error
		if at.unfinished, err = decodeUnfinished(meta.Get([]byte(metaUnfinished))); err != nil {
			return err
		}
		if err := tx.Bucket([]byte(bucketQueues)).ForEach(s.loadQueue); err != nil {
			return err
		}
		if err := tx.Bucket([]byte(bucketSegments)).ForEach(s.loadSegment); err != nil {
			return err
		}
		if err := tx.Bucket([]byte(bucketHolds)).ForEach(s.loadHold); err != nil {
			return err
		}
		if err := tx.Bucket([]byte(bucketReleases)).ForEach(s.loadRelease); err != nil {
			return err
		}
		if err := tx.Bucket([]byte(bucketCancels)).ForEach(s.loadCancel); err != nil {
			return err
		}
		s.holds.changed, s.cancels.changed = false, false
		return tx.Bucket([]byte(bucketUsage)).ForEach(s.loadUsage)
	})
	if err != nil {
		return at, advise(fmt.Errorf("read the queues in %s: %w", filepath.Join(s.options.Dir, databaseName), err))
	}
	return at, nil
}

func (s *Store) loadQueue(k, v []byte) error {
	row, err := decodeQueueRow(v)
	if err != nil || len(k) != queueKeyLength {
		return errors.Join(errEncoding, err)
	}
	q := s.addQueue(binary.BigEndian.Uint64(k), row.key)
	s.grow(q, row.count)
	q.timed = run{row.count - row.prompt, mark{due: row.due}}
	q.prompt = run{row.prompt, row.first.bornMark()}
	q.expires = 0 // not known
	s.reschedule(q)
	return nil
}

func (s *Store) loadSegment(k, v []byte) error {
	row, err := decodeSegmentRow(v)
	if err != nil || len(k) != 4 {
		return errors.Join(errEncoding, err)
	}
	s.segments[binary.BigEndian.Uint32(k)] = row
	s.owedMessages += row.messages
	return nil
}

// markOpen makes a crash from now on visible to the next Open, and keeps the
// journal's salt where damage to a segment does not reach it.
func (s *Store) markOpen() error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte(bucketMeta))
		return errors.Join(putNumber(meta, metaClean, 0), putNumber(meta, metaSalt, uint64(s.journal.Salt())))
	})
	if err != nil {
		return fmt.Errorf("mark store as open: %w", err)
	}
	return nil
}

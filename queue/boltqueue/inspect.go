package boltqueue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/queue/journal"
)

// Inspection says what Inspect found.
type Inspection struct {
	// Queues, Messages and Recipients that queue.db says are owed. What came
	// after its last checkpoint is in the journal alone.
	Queues, Messages, Recipients int64
	// Bodies that the journal no longer gives, of those messages.
	Bodies int64
	// Problems of queue.db in words; none where it is whole.
	Problems []string
}

// Inspect looks for damage in the files of a store that nobody has open, and
// changes none of them: every page of queue.db, its rows and their sums, and
// the journal's record of each message that is owed.
func Inspect(ctx context.Context, dir string) (Inspection, error) {
	var found Inspection
	path := filepath.Join(dir, databaseName)
	switch err := boltguard.Check(path); {
	case errors.Is(err, boltguard.ErrDamaged), errors.Is(err, fs.ErrNotExist):
		found.Problems = append(found.Problems, err.Error())
		return found, nil
	case err != nil:
		return found, err
	}
	db, err := boltguard.Open(path, &bolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if err != nil {
		return found, err
	}
	i := inspector{dir: dir, found: &found, ctx: ctx}
	err = db.View(i.inspect)
	return found, errors.Join(err, db.Close())
}

// inspector is one inspection under way.
type inspector struct {
	dir   string
	found *Inspection
	ctx   context.Context
}

func (i *inspector) inspect(tx *bolt.Tx) error {
	for _, name := range bucketNames() {
		if tx.Bucket([]byte(name)) == nil {
			i.found.Problems = append(i.found.Problems, fmt.Sprintf("%s has no %s", databaseName, name))
		}
	}
	if len(i.found.Problems) > 0 {
		return nil
	}
	meta := tx.Bucket([]byte(bucketMeta))
	if format := getNumber(meta, metaFormat); format != formatVersion {
		return fmt.Errorf("format %d is not the one this version reads (%d): %w", format, formatVersion, errFormat)
	}
	i.found.Queues = int64(tx.Bucket([]byte(bucketQueues)).Stats().KeyN)
	if err := i.sums(tx); err != nil {
		i.found.Problems = append(i.found.Problems, fmt.Sprintf("%s: %v", databaseName, err))
	}
	return i.bodies(tx, uint32(getNumber(meta, metaSalt)))
}

// sums compares rows. In the middle of a checkpoint they need not agree.
func (i *inspector) sums(tx *bolt.Tx) error {
	c := newCensus(tx)
	err := c.countRows()
	i.found.Recipients = int64(c.rows)
	if err != nil || tx.Bucket([]byte(bucketMeta)).Get([]byte(metaUnfinished)) != nil {
		return err
	}
	return errors.Join(c.checkDue(), c.checkMessages(), c.checkUsage(), c.checkQueues())
}

// bodies reads the record of each message.
func (i *inspector) bodies(tx *bolt.Tx, salt uint32) error {
	j, err := journal.Open(journal.Options{Dir: filepath.Join(i.dir, journalDir), Salt: salt, Files: readOnly{}})
	if err != nil {
		return err
	}
	s := Store{journal: j}
	err = tx.Bucket([]byte(bucketMessages)).ForEach(func(_, v []byte) error {
		i.found.Messages++
		row, err := decodeMessageRow(v)
		if err != nil {
			return nil // which the sums have told
		}
		if _, err := s.readBody(row.position); err != nil {
			i.found.Bodies++
		}
		return i.ctx.Err()
	})
	return errors.Join(err, j.Close())
}

// readOnly is a file system that nothing changes.
type readOnly struct{ journal.OS }

// OpenFile implements journal.FileSystem.
func (r readOnly) OpenFile(name string, flag int, perm fs.FileMode) (journal.File, error) {
	if flag != os.O_RDONLY {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EROFS}
	}
	return r.OS.OpenFile(name, flag, perm)
}

// MakeDir implements journal.FileSystem.
func (readOnly) MakeDir(name string) error {
	_, err := os.Stat(name)
	return err
}

// Remove implements journal.FileSystem.
func (readOnly) Remove(string) error { return nil }

package suppress

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Errors of stores. Callers test for them with errors.Is.
var (
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("suppression storage is closed")
	// ErrDamaged: the database is not what was written. Nobody may be mailed
	// while it is unknown who must not be.
	ErrDamaged = errors.New("suppression storage is damaged")
	// ErrSecret: the key of the hashes is missing or another's.
	ErrSecret = errors.New("key of the suppression storage")
)

// The buckets of the database.
const (
	entriesBucket = "entries"
	metaBucket    = "meta"
	// metaFingerprint is that of the secret.
	metaFingerprint = "fingerprint"
	// metaResidue is there when addresses were removed that free pages may
	// still hold.
	metaResidue = "residue"
)

// lockTimeout bounds the wait for a file that another process holds.
const lockTimeout = 5 * time.Second

// Options say where a store lives.
type Options struct {
	// Path of the database.
	Path string
	// KeyPath of the key of the hashes; empty for Path with .key behind it.
	// Without it the database is of no use.
	KeyPath string
	// Logger receives what an operator must know; nil discards it.
	Logger *slog.Logger
}

// Store keeps who must not be mailed. It is safe for concurrent use.
type Store struct {
	path   string
	secret secret
	logger *slog.Logger

	// mu is held, for reading, while db is in use, and for changing db itself.
	mu sync.RWMutex
	db *bolt.DB
	// fault says why db is nil.
	fault error

	committer *committer
	// rewriting serialises copies of the whole file.
	rewriting sync.Mutex
}

// Open opens the store, or begins one.
func Open(o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.KeyPath == "" {
		o.KeyPath = o.Path + ".key"
	}
	s := &Store{path: o.Path, logger: o.Logger}
	if err := s.open(o.KeyPath); err != nil {
		return nil, fmt.Errorf("open suppressions: %w", err)
	}
	s.committer = newCommitter(s)
	return s, nil
}

func (s *Store) open(keyPath string) error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	_, err := os.Stat(s.path)
	isNew := errors.Is(err, os.ErrNotExist)
	if s.secret, err = loadSecret(keyPath, isNew); err != nil {
		return err
	}
	if isNew {
		if err := s.create(); err != nil {
			return err
		}
	}
	s.db, err = s.openFile()
	return err
}

// create makes a complete, empty database and only then gives it its name.
func (s *Store) create() error {
	db, err := s.newFile()
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return rename(s.newPath(), s.path)
}

func (s *Store) newPath() string { return s.path + ".new" }

func (s *Store) newFile() (*bolt.DB, error) {
	if err := os.Remove(s.newPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	db, err := bolt.Open(s.newPath(), 0o600, boltOptions())
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte(entriesBucket))
		if err != nil {
			return err
		}
		meta, err := tx.CreateBucket([]byte(metaBucket))
		if err != nil {
			return err
		}
		return meta.Put([]byte(metaFingerprint), s.secret.fingerprint())
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func boltOptions() *bolt.Options {
	return &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType}
}

// openFile opens the database and checks that it is whole and ours.
func (s *Store) openFile() (*bolt.DB, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("%w: %s is empty", ErrDamaged, s.path)
	}
	var db *bolt.DB
	err = guard(func() (err error) {
		db, err = bolt.Open(s.path, 0o600, boltOptions())
		return err
	})
	if err != nil {
		return nil, s.asDamage(err)
	}
	err = guard(func() error {
		return db.View(func(tx *bolt.Tx) error { return s.checkFile(tx, info.Size()) })
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (s *Store) asDamage(err error) error {
	for _, sign := range []error{bolterrors.ErrInvalid, bolterrors.ErrChecksum, bolterrors.ErrVersionMismatch} {
		if errors.Is(err, sign) {
			return fmt.Errorf("%w: %s: %w", ErrDamaged, s.path, err)
		}
	}
	return fmt.Errorf("%s: %w", s.path, err)
}

func (s *Store) checkFile(tx *bolt.Tx, size int64) error {
	meta := tx.Bucket([]byte(metaBucket))
	switch {
	case tx.Size() > size:
		return fmt.Errorf("%w: %s has %d of %d octets", ErrDamaged, s.path, size, tx.Size())
	case meta == nil || tx.Bucket([]byte(entriesBucket)) == nil:
		return fmt.Errorf("%w: %s is no suppression database", ErrDamaged, s.path)
	case !bytes.Equal(meta.Get([]byte(metaFingerprint)), s.secret.fingerprint()):
		return fmt.Errorf("%w: it is not the one that %s was written with", ErrSecret, s.path)
	}
	return nil
}

// Check answers whether a tenant may mail an address on a stream: found means
// no, and the entry says why. On an error it is not known, and nothing may be
// sent for now.
func (s *Store) Check(tenant, stream string, a mail.Address) (entry Entry, found bool, err error) {
	prefix := s.secret.prefix(tenant, a)
	err = s.view(func(tx *bolt.Tx) error {
		cursor := tx.Bucket([]byte(entriesBucket)).Cursor()
		for k, v := cursor.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = cursor.Next() {
			e, err := decodeEntry(k, v)
			if err != nil {
				return err
			}
			if (e.Stream == "" || e.Stream == stream) && (!found || e.Reason.rank() < entry.Reason.rank()) {
				entry, found = e, true
			}
		}
		return nil
	})
	return entry, found, err
}

// view runs fn in a short read transaction.
func (s *Store) view(fn func(*bolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return s.fault
	}
	return guard(func() error { return s.db.View(fn) })
}

// Close waits for what is under way.
func (s *Store) Close() error {
	s.rewriting.Lock()
	defer s.rewriting.Unlock()
	s.committer.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db, s.fault = nil, ErrClosed
	return db.Close()
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

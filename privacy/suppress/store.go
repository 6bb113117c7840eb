package suppress

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/internal/datafolder"
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
	// softBucket counts the soft bounces of an address, under the prefix of its
	// entries.
	softBucket = "soft"
	// expiryBucket has a row for whatever ends with time: the second, then the
	// bucket and key of what ends.
	expiryBucket = "expiry"
	// marksBucket says what lists there are beside those that always are asked,
	// and how far events were listened to.
	marksBucket = "marks"
	metaBucket  = "meta"

	// metaFingerprint is that of the secret, metaFormat that of the rest.
	metaFingerprint = "fingerprint"
	metaFormat      = "format"
	// metaResidue is there when addresses were removed that free pages may
	// still hold.
	metaResidue = "residue"
)

// format is that of the keys and values.
const format = "2"

// dataBuckets are all but meta, which each file has of its own.
func dataBuckets() []string { return []string{entriesBucket, softBucket, expiryBucket, marksBucket} }

// lockTimeout bounds the wait for a file that another process holds.
const lockTimeout = 5 * time.Second

// Options say where a store lives.
type Options struct {
	// Path of the database.
	Path string
	// KeyPath of the key of the hashes; empty for Path with .key behind it.
	// Without it the database is of no use.
	KeyPath string
	// Bulk reports whether a stream is one that readers can leave, which
	// complaints and unsubscriptions of a whole tenant keep back; nil for every
	// one but account.Transactional.
	Bulk func(tenant, stream string) bool
	// Rules for what bounces come to; zero fields have defaults.
	Rules Rules
	// Logger receives what an operator must know; nil discards it.
	Logger *slog.Logger
}

// Rules say what bounces come to.
type Rules struct {
	// SoftBounces suppress an address when there are so many, 5 if zero, over
	// SoftSpan at least, 14 days if zero.
	SoftBounces int
	SoftSpan    time.Duration
	// SoftFor and HardFor are how long they do; zero for ever.
	SoftFor, HardFor time.Duration
}

func (r Rules) withDefaults() Rules {
	r.SoftBounces = cmp.Or(r.SoftBounces, 5)
	r.SoftSpan = cmp.Or(r.SoftSpan, 14*24*time.Hour)
	return r
}

// Store keeps who must not be mailed. It is safe for concurrent use.
type Store struct {
	path   string
	secret secret
	bulk   func(tenant, stream string) bool
	rules  Rules
	logger *slog.Logger

	// lists are the marks of those that are not always asked.
	lists atomic.Pointer[map[string]bool]

	// mu is held, for reading, while db is in use, and for changing db itself.
	mu sync.RWMutex
	db *boltguard.DB
	// fault says why db is nil.
	fault error

	committer *committer
	// filter rules out addresses; it is not ready until a goroutine of ours has
	// read all entries. filling is the one that is read into, or was last;
	// committer.writing guards it.
	filter    atomic.Pointer[filter]
	filling   *filter
	outgrown  chan struct{}
	stopFills context.CancelFunc
	fills     sync.WaitGroup
	// revision is another one after each change.
	revision atomic.Uint64
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
	if o.Bulk == nil {
		o.Bulk = func(_, stream string) bool { return stream != account.Transactional }
	}
	s := &Store{path: o.Path, bulk: o.Bulk, rules: o.Rules.withDefaults(), logger: o.Logger}
	if err := s.open(o.KeyPath); err != nil {
		return nil, fmt.Errorf("open suppressions: %w", err)
	}
	s.filter.Store(newFilter(0))
	s.outgrown = make(chan struct{}, 1)
	s.committer = newCommitter(s)
	ctx, stop := context.WithCancel(context.Background())
	s.stopFills = stop
	s.fills.Go(func() { s.fillFilters(ctx) })
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
	s.mu.Lock()
	defer s.mu.Unlock()
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
	return datafolder.Rename(s.newPath(), s.path)
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
		for _, name := range append(dataBuckets(), metaBucket) {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		meta := tx.Bucket([]byte(metaBucket))
		err := meta.Put([]byte(metaFormat), []byte(format))
		return errors.Join(err, meta.Put([]byte(metaFingerprint), s.secret.fingerprint()))
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
func (s *Store) openFile() (*boltguard.DB, error) {
	db, err := boltguard.Open(s.path, boltOptions())
	if err != nil {
		return nil, asDamage(err)
	}
	if err := asDamage(db.View(s.checkFile)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// asDamage gives a file that is wrong the name that callers know.
func asDamage(err error) error {
	if errors.Is(err, boltguard.ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

func (s *Store) checkFile(tx *bolt.Tx) error {
	meta := tx.Bucket([]byte(metaBucket))
	switch {
	case meta == nil:
		return fmt.Errorf("%w: %s is no suppression database", ErrDamaged, s.path)
	case !bytes.Equal(meta.Get([]byte(metaFingerprint)), s.secret.fingerprint()):
		return fmt.Errorf("%w: it is not the one that %s was written with", ErrSecret, s.path)
	case string(meta.Get([]byte(metaFormat))) != format:
		return fmt.Errorf("%w: %s has the format of another version", ErrDamaged, s.path)
	}
	for _, name := range dataBuckets() {
		if tx.Bucket([]byte(name)) == nil {
			return fmt.Errorf("%w: %s has no bucket %q", ErrDamaged, s.path, name)
		}
	}
	s.lists.Store(readLists(tx))
	return nil
}

// usable returns why the database cannot be asked; nil if it can.
func (s *Store) usable() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return s.fault
	}
	return nil
}

// view runs fn in a short read transaction.
func (s *Store) view(fn func(*bolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return s.fault
	}
	return asDamage(s.db.View(fn))
}

// Close waits for what is under way.
func (s *Store) Close() error {
	s.stopFills()
	s.fills.Wait()
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

package consent

import (
	"bytes"
	"cmp"
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
	ErrClosed = errors.New("consent storage is closed")
	// ErrDamaged: the database is not what was written. Nobody may be measured
	// while it is unknown who forbade it.
	ErrDamaged = errors.New("consent storage is damaged")
	// ErrSecret: the key of the hashes is missing or another's.
	ErrSecret = errors.New("key of the consent storage")
)

const (
	recordsBucket = "records"
	// openingsBucket has the day of the last opening under each person.
	openingsBucket = "openings"
	metaBucket     = "meta"

	metaFingerprint = "fingerprint"
	metaFormat      = "format"
	format          = "1"
)

// lockTimeout bounds the wait for a file that another process holds.
const lockTimeout = 5 * time.Second

// Options say where a store lives.
type Options struct {
	// Path of the database. The key of its hashes lies beside it, with .key
	// behind its name; without it the database is of no use.
	Path string
	// Pause between writes of openings; zero for a second. What was noted within
	// one is lost in a crash.
	Pause time.Duration
	// Waiting bounds the persons whose openings wait to be written; zero for
	// 100,000. Further openings are dropped and counted.
	Waiting int
	// KeepOpenings is how long the day of a last opening is kept; zero for two
	// years.
	KeepOpenings time.Duration
	// Logger receives what an operator must know; nil discards it.
	Logger *slog.Logger
}

// Store keeps consent. It is safe for concurrent use.
type Store struct {
	options Options
	secret  []byte
	logger  *slog.Logger

	// mu guards what follows.
	mu sync.RWMutex
	// limits are what persons allow who do not allow everything.
	limits map[Person]account.Measure
	// waiting are openings that are not written yet, writing those that are being
	// written.
	waiting, writing map[Person]day
	// fault is why nothing can be asked any more.
	fault error

	// changing is held by whoever changes the file; using, for reading, by who
	// reads it, so that it can be exchanged.
	changing sync.Mutex
	using    sync.RWMutex
	db       *boltguard.DB

	// recording has one element while something is recorded: see Recording.
	recording chan struct{}
	dropped   atomic.Int64
	stop      chan struct{}
	writer    sync.WaitGroup
	once      sync.Once
}

// Open opens the store, or begins one.
func Open(o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Pause = cmp.Or(o.Pause, time.Second)
	o.Waiting = cmp.Or(o.Waiting, 100_000)
	o.KeepOpenings = cmp.Or(o.KeepOpenings, 2*365*24*time.Hour)
	s := &Store{
		options: o, logger: o.Logger, waiting: map[Person]day{},
		recording: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open consent: %w", err)
	}
	s.writer.Go(s.writeOpenings)
	return s, nil
}

func (s *Store) open() error {
	if err := os.MkdirAll(filepath.Dir(s.options.Path), 0o700); err != nil {
		return err
	}
	_, err := os.Stat(s.options.Path)
	isNew := errors.Is(err, os.ErrNotExist)
	if s.secret, err = loadSecret(s.options.Path+".key", isNew); err != nil {
		return err
	}
	if isNew {
		if err := s.create(); err != nil {
			return err
		}
	}
	if s.db, err = s.openFile(); err != nil {
		return err
	}
	if s.limits, err = s.load(); err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

func (s *Store) newPath() string { return s.options.Path + ".new" }

// create makes a complete, empty database and only then gives it its name.
func (s *Store) create() error {
	db, err := s.newFile()
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{recordsBucket, openingsBucket, metaBucket} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		meta := tx.Bucket([]byte(metaBucket))
		err := meta.Put([]byte(metaFormat), []byte(format))
		return errors.Join(err, meta.Put([]byte(metaFingerprint), s.fingerprint()))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	return datafolder.Rename(s.newPath(), s.options.Path)
}

func (s *Store) newFile() (*bolt.DB, error) {
	if err := os.Remove(s.newPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return bolt.Open(s.newPath(), 0o600, boltOptions())
}

func boltOptions() *bolt.Options {
	return &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType}
}

// openFile opens the database and checks that it is whole and ours.
func (s *Store) openFile() (*boltguard.DB, error) {
	db, err := boltguard.Open(s.options.Path, boltOptions())
	if err != nil {
		return nil, asDamage(err)
	}
	err = asDamage(db.View(func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte(metaBucket))
		switch {
		case meta == nil || tx.Bucket([]byte(recordsBucket)) == nil || tx.Bucket([]byte(openingsBucket)) == nil:
			return fmt.Errorf("%w: %s is no consent database", ErrDamaged, s.options.Path)
		case string(meta.Get([]byte(metaFormat))) != format:
			return fmt.Errorf("%w: %s has the format of another version", ErrDamaged, s.options.Path)
		case !bytes.Equal(meta.Get([]byte(metaFingerprint)), s.fingerprint()):
			return fmt.Errorf("%w: it is not the one that %s was written with", ErrSecret, s.options.Path)
		}
		return nil
	}))
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// asDamage gives a file that is wrong the name that callers know.
func asDamage(err error) error {
	if errors.Is(err, boltguard.ErrDamaged) && !errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// load reads what is kept in memory.
func (s *Store) load() (map[Person]account.Measure, error) {
	limits := map[Person]account.Measure{}
	err := asDamage(s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(recordsBucket)).ForEach(func(k, v []byte) error {
			_, p, _, err := readKey(k)
			if err != nil {
				return err
			}
			if len(v) == 0 {
				return fmt.Errorf("%w: an empty record", ErrDamaged)
			}
			limit(limits, p, account.Measure(v[0]))
			return nil
		})
	}))
	return limits, err
}

// limit narrows down what a person allows.
func limit(limits map[Person]account.Measure, p Person, m account.Measure) {
	if known, ok := limits[p]; ok {
		m = m.Within(known)
	}
	if m = m.Within(account.MeasureIndividual); m != account.MeasureIndividual {
		limits[p] = m
	}
}

// view runs fn in a short read transaction.
func (s *Store) view(fn func(*bolt.Tx) error) error {
	s.using.RLock()
	defer s.using.RUnlock()
	if s.db == nil {
		return s.broken()
	}
	return asDamage(s.db.View(fn))
}

// update runs fn in a write transaction; the caller holds changing.
func (s *Store) update(fn func(*bolt.Tx) error) error {
	if s.db == nil {
		return s.broken()
	}
	err := asDamage(s.db.Update(fn))
	if errors.Is(err, ErrDamaged) {
		s.fail(err)
		s.logger.Error("consent is damaged: nobody is measured", "path", s.options.Path, "error", err)
	}
	return err
}

func (s *Store) broken() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.fault
}

func (s *Store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

// Close writes what waits and closes the file.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.stop) })
	s.writer.Wait()
	s.changing.Lock()
	defer s.changing.Unlock()
	s.using.Lock()
	defer s.using.Unlock()
	if s.db == nil {
		return nil
	}
	s.fail(ErrClosed)
	db := s.db
	s.db = nil
	return db.Close()
}

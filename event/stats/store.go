package stats

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/internal/datafolder"
)

// ErrDamaged: the file is not what was written.
var ErrDamaged = errors.New("statistics are damaged")

// Options say where statistics live and what they keep. Zero values stand for
// the defaults.
type Options struct {
	// Path of the database.
	Path string
	// Logger receives what an operator must know; nil discards it.
	Logger *slog.Logger
	// MaskBelow is the least count of readers that is told; 0 tells all.
	MaskBelow int
	// Keep is how long days are kept; 0 for ever.
	Keep time.Duration
	// UniqueFor is how long after its acceptance a message's readers are known
	// from each other; 0 for 400 days.
	UniqueFor time.Duration
	// LinkQueries keeps the queries of links.
	LinkQueries bool
	// Links of a campaign that are counted apart; 0 for 1000, and at most 60000.
	Links int
	// Campaigns of a tenant that are counted apart; 0 for 100,000.
	Campaigns int
	// Pause is how long events are gathered for one write; 0 for a second,
	// negative for none.
	Pause time.Duration
}

const (
	day24            = 24 * time.Hour
	defaultUnique    = 400 * day24
	defaultLinks     = 1000
	maxLinks         = 60_000
	defaultCampaigns = 100_000
	defaultPause     = time.Second
	lockTimeout      = 5 * time.Second
)

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.UniqueFor <= 0 {
		o.UniqueFor = defaultUnique
	}
	if o.Links <= 0 {
		o.Links = defaultLinks
	}
	o.Links = min(o.Links, maxLinks)
	if o.Campaigns <= 0 {
		o.Campaigns = defaultCampaigns
	}
	if o.Pause == 0 {
		o.Pause = defaultPause
	}
}

// The buckets of the file.
const (
	metaBucket = "meta"
	// campaignsBucket has campaigns by their names, with the sums of their days.
	campaignsBucket = "campaigns"
	// tenantsBucket counts the campaigns of each tenant.
	tenantsBucket = "tenants"
	// daysBucket has counters by campaign and day.
	daysBucket = "days"
	// linksBucket has links by campaign and hash, clicksBucket their clicks by
	// campaign and day.
	linksBucket  = "links"
	clicksBucket = "clicks"
	// marksBucket has the marks of readers.
	marksBucket = "marks"
)

func buckets() []string {
	return []string{metaBucket, campaignsBucket, tenantsBucket, daysBucket, linksBucket, clicksBucket, marksBucket}
}

// Keys of metaBucket.
const (
	formatKey = "format"
	format    = 1
	saltKey   = "salt"
	// cursorKey has the position of the last event counted, untilKey its time.
	cursorKey = "cursor"
	untilKey  = "until"
	// recentKey has hashes of the ids of the last hits.
	recentKey = "recent"
)

// Store keeps statistics. It is safe for concurrent use, but only one Run at a
// time.
type Store struct {
	options Options
	db      *boltguard.DB
	salt    []byte
	// counting is held while events are counted.
	counting sync.Mutex
	cursor   atomic.Uint64
	recent   *recent

	counted, failures atomic.Int64
}

// Open opens the statistics, or begins new ones. A damaged file is set aside,
// and what the event log still has is counted anew: statistics are no reason
// not to send mail.
func Open(o Options) (*Store, error) {
	o.setDefaults()
	s := &Store{options: o}
	err := s.open()
	if errors.Is(err, ErrDamaged) {
		o.Logger.Error("statistics are set aside and begun anew from the events that are kept", "error", err)
		if err = s.setAside(); err == nil {
			err = s.open()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open statistics: %w", err)
	}
	return s, nil
}

func (s *Store) open() error {
	if _, err := os.Stat(s.options.Path); errors.Is(err, os.ErrNotExist) {
		if err := create(s.options.Path); err != nil {
			return err
		}
	}
	db, err := boltguard.Open(s.options.Path, boltOptions())
	if err != nil {
		return asDamage(err)
	}
	s.db = db
	if err := s.view(s.load); err != nil {
		return errors.Join(err, db.Close())
	}
	return nil
}

func boltOptions() *bolt.Options {
	return &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType}
}

func asDamage(err error) error {
	if errors.Is(err, boltguard.ErrDamaged) || errors.Is(err, errRow) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

func (s *Store) load(tx *bolt.Tx) error {
	for _, name := range buckets() {
		if tx.Bucket([]byte(name)) == nil {
			return fmt.Errorf("%w: no bucket %q", ErrDamaged, name)
		}
	}
	meta := tx.Bucket([]byte(metaBucket))
	if f := number(meta.Get([]byte(formatKey))); f != format {
		return fmt.Errorf("they are of format %d, and this version knows %d alone", f, format)
	}
	s.salt = append([]byte(nil), meta.Get([]byte(saltKey))...)
	s.cursor.Store(number(meta.Get([]byte(cursorKey))))
	s.recent = readRecent(meta.Get([]byte(recentKey)))
	return nil
}

func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func octets(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// create makes a complete, empty file and only then gives it its name.
func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	unborn := path + ".new"
	if err := os.Remove(unborn); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := bolt.Open(unborn, 0o600, boltOptions())
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range buckets() {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		meta := tx.Bucket([]byte(metaBucket))
		return errors.Join(meta.Put([]byte(formatKey), octets(format)), meta.Put([]byte(saltKey), []byte(rand.Text())))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	return datafolder.Rename(unborn, path)
}

// setAside gives a damaged file a name that no other has.
func (s *Store) setAside() error {
	for n := 1; ; n++ {
		aside := fmt.Sprintf("%s.damaged-%d", s.options.Path, n)
		if _, err := os.Lstat(aside); errors.Is(err, os.ErrNotExist) {
			return datafolder.Rename(s.options.Path, aside)
		} else if err != nil {
			return err
		}
	}
}

// Close waits for what is under way and closes the file. Run must have ended.
func (s *Store) Close() error {
	s.counting.Lock()
	defer s.counting.Unlock()
	return s.db.Close()
}

// Figures are those of a store since it was opened.
type Figures struct {
	// Position of the last event counted.
	Position uint64
	// Counted events, and Failures of writing the counts.
	Counted, Failures int64
}

// Figures returns them; it is cheap.
func (s *Store) Figures() Figures {
	return Figures{Position: s.cursor.Load(), Counted: s.counted.Load(), Failures: s.failures.Load()}
}

func (s *Store) view(read func(*bolt.Tx) error) error { return asDamage(s.db.View(read)) }

func (s *Store) update(write func(*transaction) error) error {
	return asDamage(s.db.Update(func(tx *bolt.Tx) error {
		t := &transaction{
			tx: tx, store: s, campaigns: map[names]*campaign{}, links: map[string]*link{}, urls: map[urlOfCampaign]*link{},
		}
		return write(t)
	}))
}

// transaction is one write with what it has read so far.
type transaction struct {
	tx        *bolt.Tx
	store     *Store
	campaigns map[names]*campaign
	links     map[string]*link
	// urls are links by what was clicked: most clicks are on few.
	urls map[urlOfCampaign]*link
}

func (t *transaction) bucket(name string) *bolt.Bucket { return t.tx.Bucket([]byte(name)) }

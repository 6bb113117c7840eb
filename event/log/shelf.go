package log

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/internal/datafolder"
)

// File names: a day's file, one being written to take its place, and one that
// was set aside.
const (
	fileSuffix    = ".db"
	newSuffix     = ".db.new"
	damagedSuffix = ".db.damaged"
)

// shelf is the set of day files, few of them open.
type shelf struct {
	dir     string
	maxOpen int
	logger  *slog.Logger

	mu      sync.Mutex
	days    []*day // ascending
	newest  string // the last day used, whether or not it still has a file
	uses    uint64
	damaged int64
	closed  bool
	busy    sync.WaitGroup // one for each handle in use
}

// day is one file on the shelf. Its fields belong to shelf.mu.
type day struct {
	name string
	// known says that about was read from the file since it last changed.
	known bool
	about about
	file  *handle // nil while closed
	gone  bool    // from the shelf
}

// handle is one open file, closed by the last user once it is stale.
type handle struct {
	db    *boltguard.DB
	users int
	used  uint64
	stale bool
}

func openShelf(dir string, maxOpen int, logger *slog.Logger) (*shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &shelf{dir: dir, maxOpen: maxOpen, logger: logger}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if err := s.place(entry.Name()); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// place takes account of one file found at the start.
func (s *shelf) place(file string) error {
	name, suffix, _ := strings.Cut(file, ".")
	if _, err := time.Parse(dayLayout, name); err != nil {
		return nil
	}
	suffix = "." + suffix
	switch {
	case suffix == newSuffix:
		// A copy that was not finished; what it was copied from is still there.
		return os.Remove(filepath.Join(s.dir, file))
	case suffix == fileSuffix:
		s.days = append(s.days, &day{name: name})
		s.newest = max(s.newest, name)
	case strings.HasPrefix(suffix, damagedSuffix):
		s.newest = max(s.newest, name)
	}
	return nil
}

func (s *shelf) path(name, suffix string) string { return filepath.Join(s.dir, name+suffix) }

func (s *shelf) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *shelf) figures() (days int, damaged int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.days), s.damaged
}

func (s *shelf) isNewest(d *day) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return d.name == s.newest
}

// list returns the days, ascending, as they are now.
func (s *shelf) list() []*day {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.days)
}

// lastPosition returns the position that the newest intact file holds.
func (s *shelf) lastPosition() (uint64, error) {
	for _, d := range slices.Backward(s.list()) {
		about, err := s.describe(d)
		if err == nil {
			return about.position, nil
		}
		if !errors.Is(err, ErrDamaged) {
			return 0, err
		}
	}
	return 0, nil
}

// describe reads what a file says about itself.
func (s *shelf) describe(d *day) (about, error) {
	var found about
	err := s.view(d, func(tx *bolt.Tx) error {
		found = readAbout(tx)
		return nil
	})
	return found, err
}

// base returns the position after which a day's records begin.
func (s *shelf) base(d *day) (uint64, error) {
	s.mu.Lock()
	known, base := d.known, d.about.base
	s.mu.Unlock()
	if known {
		return base, nil
	}
	about, err := s.describe(d)
	return about.base, err
}

// view runs fn in a read transaction of a day's file. It must be short, since
// the file cannot grow meanwhile. A file found damaged is set aside.
func (s *shelf) view(d *day, fn func(*bolt.Tx) error) error {
	h, err := s.acquire(d)
	if err == nil {
		err = asDamage(h.db.View(fn))
		s.release(h)
	}
	if errors.Is(err, ErrDamaged) {
		return s.setAside(d, err)
	}
	return err
}

// update runs fn in a write transaction of the newest file. After any failure
// the file is opened anew, so that what is believed of it is what it holds.
func (s *shelf) update(d *day, fn func(*bolt.Tx) error) error {
	h, err := s.acquire(d)
	if err == nil {
		err = asDamage(h.db.Update(fn))
		s.release(h)
	}
	switch {
	case errors.Is(err, ErrDamaged):
		return s.setAside(d, err)
	case err != nil:
		s.mu.Lock()
		defer s.mu.Unlock()
		return errors.Join(err, d.drop())
	}
	return nil
}

func (s *shelf) acquire(d *day) (*handle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if d.gone {
		return nil, fmt.Errorf("%w: %s is gone", ErrDamaged, d.name)
	}
	if d.file == nil {
		if err := s.open(d); err != nil {
			return nil, err
		}
	}
	s.uses++
	d.file.used = s.uses
	d.file.users++
	s.busy.Add(1)
	return d.file, nil
}

func (s *shelf) release(h *handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.busy.Done()
	h.users--
	if h.stale && h.users == 0 {
		if err := h.db.Close(); err != nil {
			s.logger.Warn("event day file did not close", "error", err)
		}
	}
}

// open opens a day's file, for writing only if it is the newest, and closes
// the one unused for longest when there are too many.
func (s *shelf) open(d *day) error {
	db, err := openFile(s.path(d.name, fileSuffix), d.name != s.newest)
	if err != nil {
		return err
	}
	err = asDamage(db.View(func(tx *bolt.Tx) error {
		d.about = readAbout(tx)
		return nil
	}))
	if err != nil {
		return errors.Join(err, db.Close())
	}
	d.known = true
	d.file = &handle{db: db}
	return s.evict(d)
}

func (s *shelf) evict(keep *day) error {
	var open int
	var idle *day
	for _, d := range s.days {
		if d.file == nil {
			continue
		}
		open++
		if d != keep && d.name != s.newest && (idle == nil || d.file.used < idle.file.used) {
			idle = d
		}
	}
	if open <= s.maxOpen || idle == nil {
		return nil
	}
	return idle.drop()
}

// drop forgets the open file; its last user closes it.
func (d *day) drop() error {
	h := d.file
	d.file = nil
	if h == nil {
		return nil
	}
	h.stale = true
	if h.users > 0 {
		return nil
	}
	return h.db.Close()
}

// setAside keeps a damaged file under another name and goes on without it. It
// returns the cause.
func (s *shelf) setAside(d *day, cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.days, d)
	if at < 0 {
		return cause // another found it first
	}
	kept := s.path(d.name, damagedSuffix)
	for n := 2; exists(kept); n++ {
		kept = s.path(d.name, fmt.Sprintf("%s.%d", damagedSuffix, n))
	}
	err := datafolder.Rename(s.path(d.name, fileSuffix), kept)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	s.days = slices.Delete(s.days, at, at+1)
	d.gone = true
	s.damaged++
	s.logger.Error("damaged event day file set aside", "day", d.name, "kept", kept, "cause", cause)
	return errors.Join(cause, err, d.drop())
}

// begin returns the day to write to, creating its file, which holds records
// after position.
func (s *shelf) begin(name string, position uint64) (*day, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	at, found := s.search(name)
	if found {
		return s.days[at], nil
	}
	if exists(s.path(name, fileSuffix)) {
		return nil, fmt.Errorf("%w: %s%s could not be set aside", ErrDamaged, name, fileSuffix)
	}
	if err := createFile(s.path(name, newSuffix), about{base: position, position: position}); err != nil {
		return nil, err
	}
	if err := datafolder.Rename(s.path(name, newSuffix), s.path(name, fileSuffix)); err != nil {
		return nil, err
	}
	if err := s.retireNewest(name); err != nil {
		return nil, err
	}
	d := &day{name: name}
	s.days = slices.Insert(s.days, at, d)
	return d, nil
}

// retireNewest makes way for a newer file: the last one is closed, to be
// opened for reading alone.
func (s *shelf) retireNewest(name string) error {
	last := s.newest
	s.newest = name
	if at, found := s.search(last); found && last != name {
		s.days[at].known = false
		return s.days[at].drop()
	}
	return nil
}

func (s *shelf) search(name string) (at int, found bool) {
	return sort.Find(len(s.days), func(i int) int { return strings.Compare(name, s.days[i].name) })
}

// writingDay returns the day that an event of time at is written to: its own,
// but never one before the last used, and never one that has not come yet.
func (s *shelf) writingDay(at time.Time) string {
	today := dayName(time.Now())
	name := today
	if !at.IsZero() {
		name = min(dayName(at), today)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(name, s.newest)
}

// replace puts the finished copy of a day's file in its place. Whoever is
// still reading the old one finishes with it.
func (s *shelf) replace(d *day) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := datafolder.Rename(s.path(d.name, newSuffix), s.path(d.name, fileSuffix)); err != nil {
		return err
	}
	return d.drop()
}

// remove unlinks a day's file.
func (s *shelf) remove(d *day) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.days, d)
	if at < 0 {
		return nil
	}
	if err := os.Remove(s.path(d.name, fileSuffix)); err != nil {
		return err
	}
	s.days = slices.Delete(s.days, at, at+1)
	d.gone = true
	return errors.Join(d.drop(), datafolder.Sync(s.dir))
}

// setAsideFiles returns the names of the files that were ever set aside.
func (s *shelf) setAsideFiles() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(s.dir, "*"+damagedSuffix+"*"))
	for i, path := range paths {
		paths[i] = filepath.Base(path)
	}
	return paths, err
}

func (s *shelf) close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.busy.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, d := range s.days {
		errs = append(errs, d.drop())
	}
	return errors.Join(errs...)
}

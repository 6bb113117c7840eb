package boltqueue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// The names in the data folder.
const (
	journalDir   = "journal"
	databaseName = "queue.db"
)

// Store is a queue.Store on one machine's disk.
type Store struct {
	options Options
	// dbMu guards the pointer: compaction exchanges it. Whoever holds
	// checkpoints.running may read it without.
	dbMu      sync.RWMutex
	db        *boltguard.DB
	journal   *journal.Journal
	events    *eventWriter
	space     space
	scratches scratches

	mu sync.Mutex
	memory
	// applied is behind the last record whose effect is in memory.
	applied journal.Position
	// sinceCheckpoint is the journal's growth since the last checkpoint.
	sinceCheckpoint int64
	// generation counts how often rows replaced entries: whoever read rows
	// without the lock reads again if it changed.
	generation uint64
	// frozen counts the entries that a checkpoint is writing, coming the
	// recipients on their way into the journal.
	frozen, coming int
	closed         bool
	// clock is the time that Ready last saw.
	clock int64
	// room is signalled when a checkpoint made room for more changes.
	room *sync.Cond

	checkpoints checkpointer
	damaged     atomic.Int64
	damages     damageLog
	// rebuilding is nil but in Rebuild.
	rebuilding *rebuilding
	background sync.WaitGroup
	stop       chan struct{}
}

var _ queue.Store = (*Store)(nil)

// Open opens the store in a folder, creates it if need be, and replays what the
// journal holds beyond the last checkpoint. Only one process may have it open.
func Open(o Options) (*Store, error) {
	s := &Store{options: o.withDefaults(), memory: newMemory(), stop: make(chan struct{})}
	s.room = sync.NewCond(&s.mu)
	s.checkpoints.init()
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.abandon())
	}
	s.start()
	return s, nil
}

func (s *Store) open() error {
	if err := os.MkdirAll(s.options.Dir, 0o700); err != nil {
		return fmt.Errorf("create data folder: %w", err)
	}
	if err := s.openDatabase(); err != nil {
		return err
	}
	saved, err := s.loadQueues()
	if err != nil {
		return err
	}
	after, err := s.eventPosition()
	if err != nil {
		return err
	}
	s.applied, s.checkpoints.unfinished = saved.position, saved.unfinished
	s.journal, err = journal.Open(journal.Options{
		Dir:          filepath.Join(s.options.Dir, journalDir),
		SegmentBytes: s.options.SegmentBytes, RetryPause: s.options.RetryPause,
		Spares: s.options.SpareSegments, RecentBytes: s.options.RecentBytes, Salt: saved.salt, Scanned: after,
		After: max(saved.position, saved.unfinished.until, after), Committed: s.committed,
		Files: s.options.Files, Logger: s.options.Logger,
	})
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	s.reportMissing(saved.position)
	if err := s.replay(); err != nil {
		return fmt.Errorf("replay journal: %w", err)
	}
	if !saved.clean {
		s.holdBack()
	}
	s.events = newEventWriter(s, after)
	s.space = space{store: s}
	return s.markOpen()
}

// eventPosition returns how far the event log is.
func (s *Store) eventPosition() (journal.Position, error) {
	if s.options.Events == nil {
		return 0, nil
	}
	p, err := s.options.Events.Position()
	if err != nil {
		return 0, fmt.Errorf("read the event log's position: %w", err)
	}
	return journal.Position(p), nil
}

func (s *Store) start() {
	s.background.Go(s.runCheckpoints)
	s.background.Go(s.events.run)
	for _, r := range s.holds.releases {
		s.background.Go(func() { s.runRelease(r) })
	}
	for _, c := range slices.Clone(s.cancels.standing) { // a sweep that ends takes its own out
		s.background.Go(func() { s.runCancel(c) })
	}
}

// abandon closes what a failed Open had opened.
func (s *Store) abandon() error {
	var errs []error
	if s.journal != nil {
		errs = append(errs, s.journal.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}

// Close implements queue.Store. What is under way is finished, events are given
// on as far as their log takes them, and a last checkpoint is written, so that
// the next Open has nothing to replay.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return queue.ErrClosed
	}
	s.closed = true
	s.listening = true
	s.announce()
	s.room.Broadcast()
	s.mu.Unlock()

	s.journal.Drain()
	close(s.stop)
	s.background.Wait()
	err := s.checkpoint(true)
	return errors.Join(err, s.journal.Forget(), s.journal.Close(), s.db.Close())
}

// storageError gives a failed write the name that callers know.
func storageError(err error) error {
	switch {
	case errors.Is(err, journal.ErrClosed):
		return queue.ErrClosed
	case isFull(err):
		return fmt.Errorf("%w: %w", queue.ErrFull, err)
	case errors.Is(err, journal.ErrFault):
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	return err
}

package boltqueue

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

var (
	// ErrRebuild: queue.db cannot be used, but can be made anew from the
	// journal.
	ErrRebuild = errors.New("nothing was changed; " + rebuildAdvice)
	// errMissing: the journal holds mail of a queue.db that is not there.
	errMissing = errors.New("queue.db is missing while the journal has segments: put it back from where it went, or")
	errFormat  = errors.New("it was written by another version of postrider: run that one")
)

const rebuildAdvice = "\"postrider store rebuild\" makes queue.db anew from the journal, while no daemon runs, and keeps the damaged one"

// advise tells whoever reads that queue.db is damaged what to do.
func advise(err error) error {
	if errors.Is(err, boltguard.ErrDamaged) || errors.Is(err, errEncoding) || errors.Is(err, errMissing) {
		return fmt.Errorf("%w: %w", err, ErrRebuild)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: give the data folder and all in it to the user that postrider runs as", err)
	}
	return err
}

// refusal is why nothing new is taken while checkpoints fail.
func refusal(fault error) error {
	if isFull(fault) {
		return fmt.Errorf("%w: %w", queue.ErrFull, fault)
	}
	return fmt.Errorf("%w: %w", queue.ErrUnavailable, fault)
}

const (
	// damageRest is how long what cannot be read is left alone.
	damageRest = time.Minute
	// damageSilence is how long nothing more is said of damage that is met
	// again and again.
	damageSilence = 10 * time.Second
)

// damageLog keeps damage that many meet from filling the log.
type damageLog struct {
	mu   sync.Mutex
	said time.Time
}

func (d *damageLog) speaks(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.said) < damageSilence && !now.Before(d.said) {
		return false
	}
	d.said = now
	return true
}

// meetDamage counts damage to queue.db and reports it. It reports false for any
// other error.
func (s *Store) meetDamage(err error) bool {
	if !errors.Is(err, boltguard.ErrDamaged) {
		return false
	}
	s.damaged.Add(1)
	if s.damages.speaks(time.Now()) {
		s.options.Logger.Error("store: queue.db is damaged: mail that needs what cannot be read waits",
			"file", s.databasePath(), "error", err, "advice", rebuildAdvice)
	}
	return true
}

// passedOver counts rows that cannot be read. The recipients stay in the queue,
// and wait for a queue.db that is made anew.
func (s *Store) passedOver(rows int) {
	s.damaged.Add(int64(rows))
	if s.damages.speaks(time.Now()) {
		s.options.Logger.Error("store: rows of queue.db cannot be read: their recipients wait",
			"file", s.databasePath(), "places", rows, "advice", rebuildAdvice)
	}
}

// restRows leaves the rows of a queue alone for a while if they cannot be read;
// what is in memory goes on. Store.mu is held.
func (s *Store) restRows(q *queueState, err error, now time.Time) bool {
	if !errors.Is(err, boltguard.ErrDamaged) {
		return false
	}
	q.notBefore = nanoseconds(now.Add(damageRest))
	return true
}

// restSweep is restRows for the search for what has expired.
func (s *Store) restSweep(q *queueState, err error, now time.Time) bool {
	if !errors.Is(err, boltguard.ErrDamaged) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q.sweepAfter = nanoseconds(now.Add(damageRest))
	return true
}

// checkpointFailed returns how long to wait before the next checkpoint.
func (s *Store) checkpointFailed(err error) time.Duration {
	if s.meetDamage(err) {
		return damageRest
	}
	s.options.Logger.Error("store: checkpoint failed", "file", s.databasePath(), "error", err)
	return max(s.options.RetryPause, 250*time.Millisecond)
}

func (s *Store) databasePath() string { return filepath.Join(s.options.Dir, databaseName) }

// reportMissing names the segments that have gone with what is owed of them.
// Those that a replay would read it reports itself; here it counts the others.
func (s *Store) reportMissing(replayed journal.Position) {
	there := map[uint32]bool{}
	for _, segment := range s.journal.Segments() {
		there[segment.Number] = true
	}
	for number, row := range s.segments {
		if there[number] || row.messages == 0 {
			continue
		}
		if number < replayed.Segment() {
			s.damaged.Add(1)
		}
		s.options.Logger.Error("store: a journal segment is missing: the content of its messages is lost unless it is put back",
			"file", filepath.Join(s.options.Dir, journalDir, fmt.Sprintf("%08d", number)), "messages", row.messages, "octets", row.bytes)
	}
}

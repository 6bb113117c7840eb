package boltqueue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryLog is an event log that outlives its stores.
type memoryLog struct {
	mu      sync.Mutex
	records []event.Record
	fault   error
	appends int
}

func (l *memoryLog) Append(_ context.Context, records []event.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.appends++
	if l.fault != nil {
		return l.fault
	}
	for _, r := range records {
		if n := len(l.records); n > 0 && l.records[n-1].Position >= r.Position {
			return fmt.Errorf("position %d after %d", r.Position, l.records[n-1].Position)
		}
		l.records = append(l.records, r)
	}
	return nil
}

func (l *memoryLog) Position() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.records); n > 0 {
		return l.records[n-1].Position, nil
	}
	return 0, nil
}

func (l *memoryLog) clone() *memoryLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &memoryLog{records: slices.Clone(l.records), fault: l.fault}
}

func (l *memoryLog) setFault(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = err
}

func (l *memoryLog) events() []event.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]event.Event, len(l.records))
	for i, r := range l.records {
		all[i] = r.Event
	}
	return all
}

// harness holds a store over reopenings and crashes.
type harness struct {
	t       testing.TB
	options Options
	log     *memoryLog
	store   *Store
}

// testOptions make everything happen often: small segments, checkpoints every
// few changes, short heads.
func testOptions(dir string, log *memoryLog) Options {
	return Options{
		Dir: dir, Events: log, SegmentBytes: 16 << 10, CheckpointBytes: 4 << 10, CheckpointChanges: 50,
		CheckpointInterval: 10 * time.Millisecond, RestartDelay: 5 * time.Millisecond,
		HeadLength: 5, HeadTotal: 40, EventDelay: time.Millisecond, EventBatch: 7, RetryPause: -1,
		CompactFreeShare: 0.3, CompactMinBytes: 32 << 10, CheckpointPages: 8,
	}
}

// tempDir is a folder in memory where there is one: these tests sync a lot,
// and prove nothing about the disk.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "boltqueue")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func newTestHarness(t testing.TB, edit func(*Options)) *harness {
	h := &harness{t: t, log: &memoryLog{}}
	h.options = testOptions(tempDir(t), h.log)
	if edit != nil {
		edit(&h.options)
	}
	h.open()
	t.Cleanup(func() {
		if err := h.store.Close(); err != nil && !errors.Is(err, queue.ErrClosed) {
			t.Error(err)
		}
	})
	return h
}

func openHarness(t *testing.T) queuetest.Harness { return newTestHarness(t, nil) }

func (h *harness) open() {
	h.t.Helper()
	s, err := Open(h.options)
	if err != nil {
		h.t.Fatal(err)
	}
	h.store = s
}

func (h *harness) Store() queue.Store { return h.store }

func (h *harness) Reopen(t *testing.T) {
	t.Helper()
	h.reopen()
}

func (h *harness) reopen() {
	h.t.Helper()
	if err := h.store.Check(); err != nil {
		h.t.Error(err)
	}
	if err := h.store.Close(); err != nil {
		h.t.Error(err)
	}
	h.open()
	if err := h.store.Check(); err != nil {
		h.t.Error(err)
	}
}

func (h *harness) Crash(t *testing.T) bool {
	t.Helper()
	h.crash()
	return true
}

// crash goes on with a copy of the files as a killed process would leave them.
func (h *harness) crash() {
	h.t.Helper()
	dir := tempDir(h.t)
	log := h.store.copyMidway(h.t, dir, rand.IntN(4))
	if err := h.store.Close(); err != nil {
		h.t.Error(err)
	}
	h.options.Dir, h.options.Events, h.log = dir, log, log
	h.open()
	if err := h.store.Check(); err != nil {
		h.t.Error(err)
	}
}

// copyMidway copies between two parts of a checkpoint, after a number of them;
// if it has fewer, behind it, and before it for none.
func (s *Store) copyMidway(t testing.TB, to string, parts int) *memoryLog {
	t.Helper()
	s.checkpoints.running.Lock()
	defer s.checkpoints.running.Unlock()
	if parts == 0 {
		return s.copyFiles(t, to)
	}
	var log *memoryLog
	s.checkpoints.betweenParts = func() {
		if parts--; parts == 0 {
			log = s.copyFiles(t, to)
		}
	}
	err := s.checkpointNow(false)
	s.checkpoints.betweenParts = nil
	if err != nil {
		t.Log(err) // tests make writes fail
	}
	if log == nil {
		log = s.copyFiles(t, to)
	}
	return log
}

// copyFiles copies the event log and the data folder as they are at one moment.
// The journal, which comes last, is ahead of both. checkpoints.running is held.
func (s *Store) copyFiles(t testing.TB, to string) *memoryLog {
	t.Helper()
	log := s.options.Events.(*memoryLog).clone()
	used := int64(0)
	if err := s.db.View(func(tx *bolt.Tx) error { used = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(s.options.Dir, databaseName), filepath.Join(to, databaseName), used)
	from := filepath.Join(s.options.Dir, journalDir)
	to = filepath.Join(to, journalDir)
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, segment := range s.journal.Segments() {
		name := fmt.Sprintf("%08d", segment.Number)
		copyFile(t, filepath.Join(from, name), filepath.Join(to, name), math.MaxInt64)
	}
	return log
}

func copyFile(t testing.TB, from, to string, limit int64) {
	t.Helper()
	f, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return // removed since it was listed
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit))
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (h *harness) Events(t *testing.T) []event.Event {
	t.Helper()
	h.awaitEvents()
	return h.log.events()
}

// awaitEvents waits until the log holds all that is durable.
func (h *harness) awaitEvents() {
	h.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); h.store.events.passed() < h.store.journal.End(); {
		if time.Now().After(deadline) {
			h.t.Fatal("events do not reach their log")
		}
		time.Sleep(time.Millisecond)
	}
}

func (h *harness) Close(t *testing.T) {
	t.Helper()
	if err := h.store.Check(); err != nil {
		t.Error(err)
	}
	if err := h.store.Close(); err != nil {
		t.Error(err)
	}
}

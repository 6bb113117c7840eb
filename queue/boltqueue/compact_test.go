package boltqueue

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/postrider-mta/postrider/queue"
)

// TestCompactionGivesTheDiskBack drains a backlog while readers look on.
func TestCompactionGivesTheDiskBack(t *testing.T) {
	h := newTestHarness(t, func(o *Options) { quiet(o); o.CompactMinBytes = 1; o.CompactFreeShare = 0.5 })
	const recipients = 2000
	for range recipients / 2 {
		h.accept("a@example.com", "b@example.com")
	}
	h.checkpoint()
	h.settle(h.lease(recipients - 10)...)
	h.checkpoint()
	used, unused := h.store.extent()
	if unused < used {
		t.Fatalf("%d octets of queue.db are in use and %d are not: nothing to test", used, unused)
	}

	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := h.store.Queues(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	h.store.compactIfSparse()
	close(stop)
	readers.Wait()

	if stillUsed, free := h.store.extent(); stillUsed > 2*used || free > unused/10 {
		t.Errorf("in use %d, not in use %d; before %d and %d", stillUsed, free, used, unused)
	}
	h.accept("c@example.com")
	h.checkpoint()
	h.reopen()
	if n := h.store.Stats().Recipients; n != 11 {
		t.Errorf("%d recipients are owed, want 11", n)
	}
}

// TestCompactionThatFailsLeavesTheOldFile meets a folder in the copy's place.
func TestCompactionThatFailsLeavesTheOldFile(t *testing.T) {
	h := newTestHarness(t, func(o *Options) { quiet(o); o.CompactMinBytes = 1; o.CompactFreeShare = 0.01 })
	for range 200 {
		h.accept("a@example.com")
	}
	h.checkpoint()
	h.settle(h.lease(190)...)
	h.checkpoint()
	copied := filepath.Join(h.options.Dir, compactName)
	if err := os.MkdirAll(filepath.Join(copied, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.store.compactIfSparse()
	if h.store.checkpoints.compactAt.IsZero() {
		t.Fatal("the compaction succeeded")
	}
	if err := os.RemoveAll(copied); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	if n := h.store.Stats().Recipients; n != 10 {
		t.Errorf("%d recipients are owed, want 10", n)
	}
}

// sparseHarness has a store most of whose queue.db is free, and 10 recipients
// that wait.
func sparseHarness(t *testing.T) *harness {
	h := newTestHarness(t, func(o *Options) { quiet(o); o.CompactMinBytes = 1; o.CompactFreeShare = 0.3 })
	for range 500 {
		h.accept("a@example.com", "b@example.com")
	}
	h.checkpoint()
	h.settle(h.lease(990)...)
	h.checkpoint()
	return h
}

// TestCheckpointsReachTheCopy writes some between the copy and the exchange.
func TestCheckpointsReachTheCopy(t *testing.T) {
	h := sparseHarness(t)
	m, _, _ := h.store.beginCompaction()
	if m == nil {
		t.Fatal("no compaction is due")
	}
	if other, _, _ := h.store.beginCompaction(); other != nil {
		t.Error("a second compaction began")
	}
	fresh, err := h.store.copyDatabase(filepath.Join(h.options.Dir, compactName), m)
	if err != nil {
		t.Fatal(err)
	}
	h.settle(h.lease(5)...)
	h.checkpoint()
	h.accept("c@example.com", "d@example.com")
	h.checkpoint()
	h.settle(h.lease(1)...)
	h.checkpoint()
	if len(m.snapshots) != 3 {
		t.Errorf("%d checkpoints wait for the copy, want 3", len(m.snapshots))
	}
	if err := h.store.exchangeDatabase(fresh, m); err != nil {
		t.Fatal(err)
	}
	if h.store.db != fresh {
		t.Fatal("the copy is not in use")
	}
	h.store.endCompaction(nil) // from here on another may begin
	h.settle(h.lease(2)...)
	h.crash()
	h.reopen()
	if n := h.store.Stats().Recipients; n != 4 {
		t.Errorf("%d recipients are owed, want 4", n)
	}
}

// TestCheckpointsWaitForTheCopy lets more be due than the mirror may hold.
func TestCheckpointsWaitForTheCopy(t *testing.T) {
	h := sparseHarness(t)
	m, _, _ := h.store.beginCompaction()
	fresh, err := h.store.copyDatabase(filepath.Join(h.options.Dir, compactName), m)
	if err != nil {
		t.Fatal(err)
	}
	for range mirrorLimit + 2 {
		h.settle(h.lease(1)...)
		h.checkpoint()
	}
	if len(m.snapshots) != mirrorLimit {
		t.Errorf("%d checkpoints wait for the copy, want %d", len(m.snapshots), mirrorLimit)
	}
	if err := h.store.exchangeDatabase(fresh, m); err != nil {
		t.Fatal(err)
	}
	h.store.endCompaction(nil)
	h.reopen()
	if n := h.store.Stats().Recipients; n != 4 {
		t.Errorf("%d recipients are owed, want 4", n)
	}
}

// TestCopyThatLacksACheckpointIsThrownAway has one fail while the copy is made.
func TestCopyThatLacksACheckpointIsThrownAway(t *testing.T) {
	h := sparseHarness(t)
	m, _, _ := h.store.beginCompaction()
	fresh, err := h.store.copyDatabase(filepath.Join(h.options.Dir, compactName), m)
	if err != nil {
		t.Fatal(err)
	}
	h.store.checkpoints.running.Lock()
	h.store.checkpoints.finish(h.store.freeze(), errors.New("no"))
	h.store.checkpoints.running.Unlock()
	if err := h.store.exchangeDatabase(fresh, m); !errors.Is(err, errMirror) {
		t.Errorf("got %v", err)
	}
	if err := fresh.Close(); err != nil {
		t.Error(err)
	}
	h.store.endCompaction(errMirror)
	h.reopen()
	if n := h.store.Stats().Recipients; n != 10 {
		t.Errorf("%d recipients are owed, want 10", n)
	}
}

// TestFreePagesCountAsFree accepts mail while queue.db is longer than all may be
// that is in use.
func TestFreePagesCountAsFree(t *testing.T) {
	h := sparseHarness(t)
	used, free := h.store.extent()
	if free < 2*used {
		t.Fatalf("%d octets in use, %d free: nothing to test", used, free)
	}
	h.store.options.MaxBytes = h.store.usedBytes() - free + 10_000
	if err := h.store.space.measure(1000); err != nil {
		t.Errorf("got %v with room in free pages", err)
	}
	if err := h.store.space.measure(20_000); !errors.Is(err, queue.ErrFull) {
		t.Errorf("got %v with too little room, want full", err)
	}
}

// TestUnfinishedCopyIsRemoved opens a folder in which a compaction died.
func TestUnfinishedCopyIsRemoved(t *testing.T) {
	h := newTestHarness(t, quiet)
	h.accept("a@example.com")
	copied := filepath.Join(h.options.Dir, compactName)
	if err := os.WriteFile(copied, []byte("half a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	if _, err := os.Stat(copied); !os.IsNotExist(err) {
		t.Errorf("got %v, want no such file", err)
	}
}

package boltqueue

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
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
	before := h.store.freePages()

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

	if after := h.store.freePages(); after > before/4 {
		t.Errorf("%d octets are free in the file, %d before", after, before)
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
	if err := h.store.compact(); err == nil {
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

package boltqueue

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/postrider-mta/postrider/internal/person"
)

func (h *harness) spares() int {
	h.t.Helper()
	names, err := filepath.Glob(filepath.Join(h.options.Dir, journalDir, "spare-*"))
	if err != nil {
		h.t.Fatal(err)
	}
	return len(names)
}

// pass lets so many messages come and go, and gives back what they took.
func (h *harness) pass(messages int) {
	h.t.Helper()
	for range messages {
		h.accept("reader@example.com")
		h.settle(h.lease(1)...)
	}
	h.awaitEvents()
	h.checkpoint()
	h.store.giveBackDisk()
}

func TestFreedSegmentsAreKeptToBeWrittenAgain(t *testing.T) {
	h := newTestHarness(t, func(o *Options) {
		quiet(o)
		o.SegmentBytes, o.SpareSegments = 64<<10, 2
	})
	h.pass(50)
	if n := h.spares(); n != 2 {
		t.Errorf("%d spares, want the 2 that were asked for", n)
	}
	if s := h.store.journal.Stats(); s.SpareBytes < 64<<10 || s.SpareBytes > 128<<10 {
		t.Errorf("the spares have %d octets", s.SpareBytes)
	}
	free, err := h.store.options.Files.FreeBytes(h.options.Dir)
	if err != nil {
		t.Fatal(err)
	}
	h.store.options.MinFree = free + 32<<10 // there is not so much beside the spares
	if err := h.store.space.measure(0); err != nil {
		t.Errorf("spares do not count as free: %v", err)
	}
	h.reopen()
	if n := h.spares(); n != 0 {
		t.Errorf("%d spares after the store was closed", n)
	}
}

func TestErasureLeavesNoSpares(t *testing.T) {
	h := newTestHarness(t, func(o *Options) {
		quiet(o)
		o.SegmentBytes = 64 << 10
	})
	h.pass(50)
	s := h.accept("reader@example.com")
	if n := h.spares(); n == 0 {
		t.Fatal("no spares")
	}
	subject := person.Subject{Tenant: s.Message.Tenant, Address: s.Recipients[0].Address}
	if n, err := h.store.Erase(context.Background(), subject); n != 1 || err != nil {
		t.Errorf("erased %d, %v", n, err)
	}
	if n := h.spares(); n != 0 {
		t.Errorf("%d spares after an erasure", n)
	}
	h.pass(3)
	if n := h.spares(); n != 0 {
		t.Errorf("what was written before the erasure became a spare (%d)", n)
	}
}

package boltqueue

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/queue"
)

// inParts makes checkpoints of many parts, on demand only.
func inParts(o *Options) {
	quiet(o)
	o.CheckpointPages = 4
}

// many accepts messages to several queues.
func (h *harness) many(messages int) {
	h.t.Helper()
	for i := range messages {
		h.accept(fmt.Sprintf("a%d@example.com", i), fmt.Sprintf("b%d@q%d.example", i, i%7), fmt.Sprintf("c%d@q%d.example", i, i%5))
	}
}

// change settles and defers some, so that rows come, go and move.
func (h *harness) change(recipients int) {
	h.t.Helper()
	for i, d := range h.lease(recipients) {
		if i%2 == 0 {
			h.settle(d)
			continue
		}
		err := h.store.Defer(context.Background(), []queue.Deferral{{
			Recipient: d.ID(), Until: time.Now().Add(time.Duration(rand.IntN(100)) * time.Minute), Event: d.Event(event.Deferred, time.Now()),
		}})
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

// TestCrashBetweenPartsLosesNothing goes on from a copy of the files behind each
// part of a checkpoint.
func TestCrashBetweenPartsLosesNothing(t *testing.T) {
	h := newTestHarness(t, inParts)
	h.many(40)
	h.checkpoint()
	h.change(20)
	h.many(20)
	h.change(10)
	want := h.owed()
	for i, after := range h.copiesBetweenParts() {
		after.open()
		if found := after.store.checkpoints.unfinished; found == (unfinished{}) {
			t.Errorf("part %d: the checkpoint does not look unfinished", i)
		}
		after.wantOwed(want) // while it still is
		after.change(3)
		left := after.owed()
		again := &harness{t: t, options: after.options}
		again.options.Dir = tempDir(t)
		again.log = after.store.copyMidway(t, again.options.Dir, 1) // the next one is cut short too
		again.options.Events = again.log
		again.open()
		again.wantOwed(left)
		if err := again.store.Check(); err != nil {
			t.Errorf("part %d, again: %v", i, err)
		}
		again.wantOwed(left)
		if err := again.store.Close(); err != nil {
			t.Error(err)
		}
		if err := after.store.Check(); err != nil { // finishes it, if it is not yet
			t.Errorf("part %d: %v", i, err)
		}
		after.wantOwed(left)
		after.reopen()
		after.wantOwed(left)
		if err := after.store.Close(); err != nil {
			t.Error(err)
		}
	}
}

// copiesBetweenParts writes a checkpoint and returns what a crash behind each
// part of it would leave.
func (h *harness) copiesBetweenParts() []*harness {
	h.t.Helper()
	var copies []*harness
	h.store.checkpoints.betweenParts = func() {
		after := &harness{t: h.t, options: h.options}
		after.options.Dir = tempDir(h.t)
		after.log = h.store.copyFiles(h.t, after.options.Dir)
		after.options.Events = after.log
		copies = append(copies, after)
	}
	h.checkpoint()
	h.store.checkpoints.betweenParts = nil
	if len(copies) < 5 {
		h.t.Fatalf("only %d parts", len(copies)+1)
	}
	return copies
}

// TestDamageBehindAnUnfinishedCheckpointIsMended takes a segment away from what
// crashes between parts leave.
func TestDamageBehindAnUnfinishedCheckpointIsMended(t *testing.T) {
	h := newTestHarness(t, func(o *Options) { inParts(o); o.SegmentBytes = 4 << 10 })
	h.many(40)
	h.checkpoint()
	h.change(20)
	h.many(20)
	h.change(10)
	want := h.owed()
	mended := false
	for i, after := range h.copiesBetweenParts() {
		segments, err := filepath.Glob(filepath.Join(after.options.Dir, journalDir, "0*"))
		if err != nil || len(segments) < 5 {
			t.Fatalf("%d segments, %v", len(segments), err)
		}
		if err := os.Remove(segments[len(segments)-2-i%3]); err != nil {
			t.Fatal(err)
		}
		after.open()
		if err := after.store.Check(); err != nil {
			t.Errorf("part %d: %v", i, err)
		}
		left := after.owed()
		mended = mended || len(left) != len(want)
		after.crash()
		if got := after.owed(); !maps.Equal(got, left) {
			t.Errorf("part %d: %d are owed after a crash, %d before", i, len(got), len(left))
		}
		if _, err := after.store.Cancel(t.Context(), queue.Selector{}, "test"); err != nil {
			t.Error(err)
		}
		if st := after.store.Stats(); st.Recipients != 0 || st.Messages != 0 || st.Queues != 0 {
			t.Errorf("part %d leaves %+v", i, st)
		}
		if err := after.store.Close(); err != nil {
			t.Error(err)
		}
	}
	if !mended {
		t.Error("no damage made a difference: the test proves nothing")
	}
}

func (h *harness) wantOwed(want map[queue.RecipientID]int) {
	h.t.Helper()
	if got := h.owed(); !maps.Equal(got, want) {
		h.t.Errorf("%d recipients are owed, want %d, or their attempts differ", len(got), len(want))
	}
	if n := h.store.Stats().Damaged; n != 0 {
		h.t.Errorf("damage counted: %d", n)
	}
}

// TestPartThatFailsIsMadeUpFor loses the file in the middle of a checkpoint, and
// has it back for the next.
func TestPartThatFailsIsMadeUpFor(t *testing.T) {
	h := newTestHarness(t, inParts)
	h.many(40)
	h.checkpoint()
	h.change(20)
	h.many(20)
	left := 3
	h.store.checkpoints.betweenParts = func() {
		if left--; left == 0 {
			if err := h.store.db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := h.store.checkpoint(false); err == nil || left > 0 {
		t.Fatalf("%v, with %d parts left", err, left)
	}
	h.store.checkpoints.betweenParts = nil
	db, err := boltguard.Open(filepath.Join(h.options.Dir, databaseName), databaseOptions())
	if err != nil {
		t.Fatal(err)
	}
	h.store.db = db
	h.change(20) // some of it was written, some was not
	want := h.owed()
	h.crash()
	h.wantOwed(want)
	h.checkpoint()
	h.reopen()
	h.wantOwed(want)
}

// TestRecipientsBetweenPartsCanBeRead looks at and leases what has a row while
// its message has none.
func TestRecipientsBetweenPartsCanBeRead(t *testing.T) {
	h := newTestHarness(t, func(o *Options) { inParts(o); o.CheckpointPages = 1 })
	h.many(40)
	want, looks := h.owed(), 0
	h.store.checkpoints.betweenParts = func() {
		looks++
		h.wantOwed(want)
		if _, err := h.store.Queues(context.Background()); err != nil {
			t.Error(err)
		}
	}
	h.checkpoint()
	h.store.checkpoints.betweenParts = nil
	if looks == 0 {
		t.Error("the checkpoint had one part")
	}
	if n := len(h.lease(1000)); n != 40 {
		t.Errorf("leased %d", n)
	}
}

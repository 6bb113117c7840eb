package boltqueue

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/testdisk"
	"github.com/postrider-mta/postrider/queue"
)

// While queue.db cannot be written, what has left memory is offered when it is
// due, and when it can be again, so are checkpoints, without a restart.
func TestUnwritableDatabaseIsRead(t *testing.T) {
	h := newTestHarness(t, func(o *Options) {
		quiet(o)
		o.CheckpointPages = 1 // many parts, of which any may fail
	})
	const waiting = 40
	var deferred []queue.Deferral
	for range waiting {
		h.accept("reader@example.com")
	}
	for _, d := range h.lease(waiting) {
		deferred = append(deferred, queue.Deferral{Recipient: d.ID(), Until: time.Now().Add(soonEnough)})
	}
	if err := h.store.Defer(context.Background(), deferred); err != nil {
		t.Fatal(err)
	}
	h.checkpoint()
	if n := len(h.store.entries); n > 0 {
		t.Fatalf("%d are in memory: the test proves nothing", n)
	}
	back := testdisk.Unwritable(t, h.store.databasePath())
	h.accept("new@example.com")
	failing := func() {
		if err := h.store.checkpoint(false); err == nil || !errors.Is(h.store.Stats().Fault, err) {
			t.Errorf("the checkpoint gives %v, and the fault is %v", err, h.store.Stats().Fault)
		}
	}
	failing()
	leased := 0
	for leased <= waiting {
		deliveries := h.lease(7)
		leased += len(deliveries)
		h.settle(deliveries...)
		if len(deliveries) == 0 {
			h.awaitReady()
		}
		failing()
	}
	h.accept("last@example.com")
	back()
	h.checkpoint()
	if fault := h.store.Stats().Fault; fault != nil {
		t.Errorf("the fault has passed, and the store says %v", fault)
	}
	if n := h.rows(bucketRecipients); n != 1 {
		t.Errorf("queue.db has %d recipients, want one", n)
	}
	h.reopen()
	if n := len(h.lease(waiting)); n != 1 {
		t.Errorf("%d are offered after a restart, want one", n)
	}
}

// soonEnough is longer than what stays in memory for its time.
const soonEnough = time.Duration(soon) + 500*time.Millisecond

func (h *harness) awaitReady() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := h.store.Ready(ctx); err != nil {
		h.t.Fatalf("nothing becomes due: %v", err)
	}
}

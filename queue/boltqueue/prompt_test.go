package boltqueue

import (
	"context"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

func TestPromptIsWhatIsDueWhenItsMessageCame(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_000)
	key := recipientKey{message: queue.NewID(at)}
	if key.born() != at.UnixNano() {
		t.Errorf("born %d, want %d", key.born(), at.UnixNano())
	}
	for late, want := range map[time.Duration]bool{
		-1: false, 0: true, time.Millisecond: true, time.Second - 1: true, time.Second: false, time.Hour: false,
	} {
		if m := (mark{at.Add(late).UnixNano(), key}); m.prompt() != want {
			t.Errorf("due %v after it came: prompt %v", late, m.prompt())
		}
	}
	far := recipientKey{message: queue.ID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	if far.born() != never || (mark{never - 1, far}).prompt() {
		t.Error("an id out of range is prompt")
	}
}

func (h *harness) deferFor(wait time.Duration, deliveries ...*queue.Delivery) {
	h.t.Helper()
	for _, d := range deliveries {
		err := h.store.Defer(context.Background(), []queue.Deferral{{
			Recipient: d.ID(), Until: time.Now().Add(wait), Event: d.Event(event.Deferred, time.Now()),
		}})
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

func TestOnlyWhatWaitsForATimeIsInTheDueIndex(t *testing.T) {
	h := newTestHarness(t, quiet)
	for range 20 {
		h.accept("a@example.com")
	}
	h.checkpoint()
	if n := h.rows(bucketDue); n != 0 {
		t.Errorf("%d keys in the due index", n)
	}
	h.deferFor(time.Hour, h.lease(3)...)
	h.checkpoint()
	if n := h.rows(bucketDue); n != 3 {
		t.Errorf("%d keys in the due index, 3 are deferred", n)
	}
	if _, err := h.store.Retry(context.Background(), queue.Selector{}); err != nil {
		t.Fatal(err)
	}
	h.settle(h.lease(20)...)
	h.checkpoint()
	if n := h.rows(bucketDue) + h.rows(bucketRecipients) + h.rows(bucketQueues); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// TestSearchForPromptOnesBeginsBehindWhatIsDeferred reads the first page of a
// queue whose old mail is all deferred.
func TestSearchForPromptOnesBeginsBehindWhatIsDeferred(t *testing.T) {
	h := newTestHarness(t, quiet)
	for range 200 {
		h.accept("a@example.com")
	}
	for range 10 { // as sending and checkpoints take turns
		h.checkpoint()
		h.deferFor(time.Hour, h.lease(15)...)
	}
	h.checkpoint()
	h.reopen()
	q := h.store.byKey[exampleKey()]
	if q.prompt.unloaded != 50 || q.timed.unloaded != 150 {
		t.Fatalf("prompt %d, others %d", q.prompt.unloaded, q.timed.unloaded)
	}
	page, err := h.store.readPrompt(q.id, q.prompt.horizon, never-1, 1)
	if err != nil || len(page.rows) != 1 {
		t.Fatalf("%d rows, %v", len(page.rows), err)
	}
	if q.prompt.horizon.recipientKey != page.rows[0].key {
		t.Error("the search begins before the first prompt one")
	}
	h.reopen()
	if got := h.lease(500); len(got) != 50 {
		t.Errorf("%d are due, want 50", len(got))
	}
}

// TestPromptAndOthersAreDueInOneOrder mixes what was never tried with what was
// deferred and is due again.
func TestPromptAndOthersAreDueInOneOrder(t *testing.T) {
	h := newTestHarness(t, quiet)
	for range 30 {
		h.accept("a@example.com")
	}
	h.deferFor(5*time.Millisecond, h.lease(10)...)
	h.checkpoint()
	time.Sleep(20 * time.Millisecond)
	for range 10 {
		h.accept("a@example.com")
	}
	h.checkpoint()
	h.reopen()
	var all []*queue.Delivery
	for range 10 {
		all = append(all, h.lease(4)...)
	}
	if len(all) != 40 {
		t.Fatalf("leased %d", len(all))
	}
	for i := 1; i < len(all); i++ {
		if all[i].Due.Before(all[i-1].Due) {
			t.Errorf("number %d is due %v, the one before %v", i, all[i].Due, all[i-1].Due)
		}
	}
}

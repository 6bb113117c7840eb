package boltqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

func TestQueueListRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		want := rapid.SliceOf(rapid.Uint64()).Draw(r, "numbers")
		list := newQueueList(want)
		d := decoder{b: append([]byte(list), "rest"...)}
		if got := d.queueList(); got != list || string(d.b) != "rest" || d.err != nil {
			r.Fatalf("read %x of %x, left %q, %v", got, list, d.b, d.err)
		}
		if got := list.numbers(); !slices.Equal(got, want) {
			r.Fatalf("got %v, want %v", got, want)
		}
		short := decoder{b: []byte(list[:len(list)-1])}
		if short.queueList(); short.err == nil {
			r.Fatal("a torn list is read")
		}
	})
}

func TestQueueListOfDamage(t *testing.T) {
	for _, b := range []string{"\x01\x80", "\x05\x01", ""} {
		d := decoder{b: []byte(b)}
		if list := d.queueList(); d.err == nil {
			t.Errorf("%x is read as %x", b, list)
		}
	}
}

func fullDropped(t testing.TB) *dropped {
	t.Helper()
	a := fullAcceptance(t)
	bare := &queue.Message{ID: queue.NewID(time.Unix(1_772_366_000, 0)), Tenant: "acme"}
	return &dropped{
		reason: "wrong price", at: time.Unix(1_772_366_400, 7).UTC(),
		recipients: []droppedRecipient{
			{message: a.message, queue: 1 << 40, index: 3, attempts: 9, address: address(t, "jürgen@example.com")},
			{message: a.message, queue: 2, index: 4, address: address(t, "b@example.com")},
			{message: bare, queue: 2, index: 1 << 30, address: address(t, "c@example.com")},
		},
	}
}

// An event is the same whether the record is at hand or read again.
func TestDroppedRoundTrip(t *testing.T) {
	want := fullDropped(t)
	got, err := decodeDropped(want.append(nil))
	if err != nil || len(got.recipients) != len(want.recipients) {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range want.recipients {
		a, b := got.recipients[i], want.recipients[i]
		if a.key() != b.key() || a.queue != b.queue {
			t.Errorf("recipient %+v, want %+v", a, b)
		}
		x, errX := json.Marshal(got.event(i))
		y, errY := json.Marshal(want.event(i))
		if string(x) != string(y) || errX != nil || errY != nil {
			t.Errorf("event\n%s\nwant\n%s", x, y)
		}
	}
	if e := want.event(0); e.Type != event.Dropped || e.Reason != "wrong price" || e.Attempt != 10 || e.Metadata == nil || len(e.Tags) == 0 {
		t.Errorf("event %+v", e)
	}
}

// FuzzDecodeCancel holds that damaged records are errors, and that what passes
// is read again as it was.
func FuzzDecodeCancel(f *testing.F) {
	hold := fullHold(f)
	f.Add(newCancel(hold.Selector, "wrong price").append(nil))
	f.Add(newCancel(queue.Selector{}, "").append(nil))
	f.Add(fullDropped(f).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decodeCancel(b); err == nil {
			if again, err := decodeCancel(c.append(nil)); err != nil || again.selector != c.selector || again.reason != c.reason {
				t.Errorf("%+v is read again as %+v, %v", c, again, err)
			}
		}
		if d, err := decodeDropped(b); err == nil {
			if again, err := decodeDropped(d.append(nil)); err != nil || len(again.recipients) != len(d.recipients) {
				t.Errorf("%+v is read again as %+v, %v", d, again, err)
			}
		}
	})
}

func TestDisjoint(t *testing.T) {
	tenant, other := queue.Selector{Tenant: "acme"}, queue.Selector{Tenant: "rival", Campaign: "spring"}
	if !disjoint(tenant, other) || disjoint(tenant, queue.Selector{Campaign: "spring"}) || disjoint(tenant, queue.Selector{}) {
		t.Error("selectors of two tenants match nothing together, others may")
	}
}

// limitedFiles lets only so many syncs succeed.
type limitedFiles struct {
	journal.OS
	left atomic.Int64
}

func (f *limitedFiles) OpenFile(name string, flag int, perm os.FileMode) (journal.File, error) {
	file, err := f.OS.OpenFile(name, flag, perm)
	return limitedFile{file, f}, err
}

type limitedFile struct {
	journal.File
	files *limitedFiles
}

func (f limitedFile) Sync() error {
	if f.files.left.Add(-1) < 0 {
		return syscall.EIO
	}
	return f.File.Sync()
}

// cancelTrial is a store with a campaign that is cancelled while the disk
// takes no more than the cancel's own record.
func cancelTrial(t *testing.T, recipients int) (*harness, *limitedFiles, *queue.Submission) {
	t.Helper()
	files := &limitedFiles{}
	files.left.Store(1 << 40)
	h := newTestHarness(t, func(o *Options) {
		o.Files, o.SegmentBytes, o.RetryPause = files, 1<<20, time.Millisecond
	})
	s := h.accept(addresses(recipients)...)
	h.checkpoint()
	files.left.Store(1)
	n, err := h.store.Cancel(t.Context(), queue.Selector{Tenant: "acme"}, "withdrawn")
	if n != 0 || !errors.Is(err, queue.ErrUnavailable) {
		t.Fatalf("Cancel: %d, %v", n, err)
	}
	return h, files, s
}

func addresses(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("reader%d@example.com", i)
	}
	return all
}

// awaitEmpty waits for the sweep, and wants one dropped event for each.
func (h *harness) awaitDropped(s *queue.Submission) {
	h.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); h.store.Stats().Recipients > 0 && time.Now().Before(deadline); {
		if got := h.lease(10); len(got) > 0 {
			h.t.Fatalf("%s is offered, and was cancelled", got[0].ID())
		}
		time.Sleep(time.Millisecond)
	}
	h.awaitEvents()
	dropped := map[int]int{}
	for _, e := range h.log.events() {
		if e.Type == event.Dropped && e.Message == s.Message.ID.String() && e.Reason == "withdrawn" {
			dropped[e.Index]++
		}
	}
	for i := range s.Recipients {
		if dropped[i] != 1 {
			h.t.Fatalf("recipient %d has %d dropped events; %+v", i, dropped[i], h.store.Stats())
		}
	}
	if err := h.store.Check(); err != nil {
		h.t.Error(err)
	}
}

// A sweep that the disk refuses lets nothing out meanwhile, keeps little in
// memory, and goes on when the fault passes.
func TestCancelOnAFaultyDisk(t *testing.T) {
	h, files, s := cancelTrial(t, 12*controlBatch)
	for range 100 {
		if got := h.lease(500); len(got) > 0 {
			t.Fatalf("%d are offered", len(got))
		}
	}
	time.Sleep(3 * firstBackOff) // for some more tries
	h.store.mu.Lock()
	found := len(h.store.entries)
	h.store.mu.Unlock()
	if most := (controlWorkers + 1) * controlBatch; found > most {
		t.Errorf("%d are in memory, want at most %d", found, most)
	}
	files.left.Store(1 << 40)
	h.awaitDropped(s)
}

// A cancel of which only its own record is on disk goes on after a crash, from
// the journal and from a checkpoint.
func TestCancelIsSweptAfterACrash(t *testing.T) {
	for name, checkpoint := range map[string]bool{"journal": false, "checkpoint": true} {
		t.Run(name, func(t *testing.T) {
			h, files, s := cancelTrial(t, 500)
			if checkpoint {
				h.checkpoint()
				if n := h.rows(bucketCancels); n != 1 {
					t.Fatalf("%d rows of cancels", n)
				}
			}
			dir := tempDir(t)
			h.store.checkpoints.running.Lock()
			log := h.store.copyFiles(t, dir)
			h.store.checkpoints.running.Unlock()
			files.left.Store(1 << 40)
			_ = h.store.Close()
			h.options.Dir, h.options.Events, h.log = dir, log, log
			h.open()
			h.awaitDropped(s)
			h.reopen()
			h.store.mu.Lock()
			standing := len(h.store.cancels.standing)
			h.store.mu.Unlock()
			if standing != 0 || h.rows(bucketCancels) != 0 {
				t.Errorf("%d cancels stand after their end, %d rows", standing, h.rows(bucketCancels))
			}
			later := h.accept("later@example.com")
			got := h.lease(10)
			if len(got) != 1 || got[0].Message.ID != later.Message.ID {
				t.Fatalf("offered are %v", got)
			}
			h.settle(got...)
		})
	}
}

// What is moved out of an old segment stays where the cancel finds it, even if
// the copy's record comes behind the cancel's.
func TestCancelFindsWhatIsMoved(t *testing.T) {
	for name, crash := range map[string]bool{"at once": false, "after a crash": true} {
		t.Run(name, func(t *testing.T) {
			h := newTestHarness(t, nil)
			s := h.accept("away@example.com", "reader@example.com")
			h.checkpoint()
			away := h.lease(1)
			if n, err := h.store.Cancel(t.Context(), queue.Selector{Tenant: "acme"}, "withdrawn"); n != 1 || err != nil {
				t.Fatalf("Cancel: %d, %v", n, err)
			}
			at, err := h.store.locate(s.Message.ID)
			if err != nil {
				t.Fatal(err)
			}
			if msg, err := h.store.holdMessage(s.Message.ID, at); msg != nil || err != nil {
				t.Errorf("it is about to be moved: %v", err)
			}
			h.copyRecord(s.Message.ID, at)
			if moved, err := h.store.locate(s.Message.ID); moved != at || err != nil {
				t.Errorf("moved from %s to %s, %v", at, moved, err)
			}
			if crash {
				h.crash()
			} else {
				h.store.Return(away)
			}
			deadline := time.Now().Add(20 * time.Second)
			for h.store.Stats().Recipients > 0 && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond)
			}
			if got := h.store.Stats(); got.Recipients != 0 || got.Damaged != 0 {
				t.Errorf("left are %+v", got)
			}
		})
	}
}

// copyRecord copies a message as moveSurvivor had begun to.
func (h *harness) copyRecord(id queue.ID, at journal.Position) {
	h.t.Helper()
	record, err := h.store.journal.ReadAt(at)
	if err != nil {
		h.t.Fatal(err)
	}
	h.store.mu.Lock()
	msg := h.store.messages[id]
	h.store.mu.Unlock()
	err = h.store.journal.Append(context.Background(), &journal.Write{Kind: kindCopy, Body: record.Payload, Value: msg})
	if err != nil {
		h.t.Fatal(err)
	}
}

// The events of a cancel are the same to a log that comes late, and reads them
// in the journal.
func TestEventsOfACancelAreReadFromTheJournal(t *testing.T) {
	h := newTestHarness(t, func(o *Options) { o.SegmentBytes = 1 << 20 })
	s := submission(t, addresses(300)...)
	s.Message.Campaign, s.Message.Tags, s.Message.Metadata = "spring", []string{"a", "b"}, json.RawMessage(`{"order":7}`)
	if err := h.store.Accept(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	h.awaitEvents()
	h.log.setFault(errors.New("no"))
	if n, err := h.store.Cancel(t.Context(), queue.Selector{Campaign: "spring"}, "withdrawn"); n != 300 || err != nil {
		t.Fatalf("Cancel: %d, %v", n, err)
	}
	h.accept("other@example.com")
	h.log.setFault(nil)
	h.awaitDroppedEvents(300)
	for _, e := range h.log.events() {
		if e.Type != event.Dropped {
			continue
		}
		want := (&queue.Delivery{Message: &s.Message, Index: e.Index, Recipient: s.Recipients[e.Index]}).Event(event.Dropped, e.Time)
		want.Reason = "withdrawn"
		a, errA := json.Marshal(e)
		b, errB := json.Marshal(want)
		if string(a) != string(b) || errA != nil || errB != nil || e.Time.Before(s.Message.Accepted) {
			t.Fatalf("event\n%s\nwant\n%s", a, b)
		}
	}
}

func (h *harness) awaitDroppedEvents(n int) {
	h.t.Helper()
	h.awaitEvents()
	got := 0
	for _, e := range h.log.events() {
		if e.Type == event.Dropped {
			got++
		}
	}
	if got != n {
		h.t.Fatalf("%d dropped events, want %d", got, n)
	}
}

// Two cancels that overlap count each recipient once, and the one that was
// asked for later returns when the other's are gone too.
func TestCancelsOverlap(t *testing.T) {
	const recipients = 3 * controlBatch
	h := newTestHarness(t, func(o *Options) { o.SegmentBytes = 1 << 20 })
	h.accept(addresses(recipients)...)
	counts := make(chan int, 2)
	for _, x := range []queue.Selector{{Tenant: "acme"}, {Stream: "marketing"}} {
		go func() {
			n, err := h.store.Cancel(t.Context(), x, "withdrawn")
			if err != nil {
				t.Errorf("Cancel: %v", err)
			}
			if left := h.store.Stats().Recipients; left > 0 {
				t.Errorf("%d are left when a cancel of all of them returns", left)
			}
			counts <- n
		}()
	}
	if got := <-counts + <-counts; got != recipients {
		t.Errorf("%d were counted, want %d", got, recipients)
	}
	h.awaitDroppedEvents(recipients)
}

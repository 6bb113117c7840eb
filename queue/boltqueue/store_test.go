package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

func submission(t testing.TB, recipients ...string) *queue.Submission {
	t.Helper()
	now := time.Now()
	s := &queue.Submission{Body: []byte("Subject: x\r\n\r\n" + strings.Repeat("body ", 60))}
	s.Message = queue.Message{
		ID: queue.NewID(now), Tenant: "acme", Stream: "marketing", Accepted: now,
		Expires: now.Add(time.Hour), Size: int64(len(s.Body)),
	}
	for _, r := range recipients {
		s.Recipients = append(s.Recipients, mail.Recipient{Address: address(t, r)})
	}
	return s
}

func (h *harness) accept(recipients ...string) *queue.Submission {
	h.t.Helper()
	s := submission(h.t, recipients...)
	if err := h.store.Accept(context.Background(), s); err != nil {
		h.t.Fatal(err)
	}
	return s
}

func exampleKey() queue.Key {
	return queue.Key{Tenant: "acme", Stream: "marketing", Domain: "example.com"}
}

// lease takes up to limit recipients of example.com.
func (h *harness) lease(limit int) []*queue.Delivery {
	h.t.Helper()
	d, err := h.store.Next(context.Background(), exampleKey(), limit)
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

func delivered(deliveries ...*queue.Delivery) []queue.Outcome {
	var all []queue.Outcome
	for _, d := range deliveries {
		all = append(all, queue.Outcome{Recipient: d.ID(), Event: d.Event(event.Delivered, time.Now())})
	}
	return all
}

func (h *harness) settle(deliveries ...*queue.Delivery) {
	h.t.Helper()
	if err := h.store.Settle(context.Background(), delivered(deliveries...)); err != nil {
		h.t.Fatal(err)
	}
}

// checkpoint writes one and gives back disk as the background does.
func (h *harness) checkpoint() {
	h.t.Helper()
	if err := h.store.checkpoint(false); err != nil {
		h.t.Fatal(err)
	}
	h.store.giveBackDisk()
	if err := h.store.Check(); err != nil {
		h.t.Fatal(err)
	}
}

// quiet leaves checkpoints to the test.
func quiet(o *Options) {
	o.CheckpointInterval, o.CheckpointBytes, o.CheckpointChanges = time.Hour, 1<<40, 1<<30
	o.RestartDelay = -1
}

func (h *harness) rows(bucket string) int {
	h.t.Helper()
	n := 0
	err := h.store.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(_, _ []byte) error { n++; return nil })
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func TestAcceptedAndSettledBetweenCheckpointsNeverReachesBbolt(t *testing.T) {
	h := newTestHarness(t, quiet)
	for range 20 {
		h.accept("reader@example.com")
	}
	h.settle(h.lease(20)...)
	snap := h.store.freeze()
	if len(snap.entries) != 0 || len(snap.messages) != 0 {
		t.Errorf("checkpoint would write %d recipients and %d messages", len(snap.entries), len(snap.messages))
	}
	if len(h.store.entries)+len(h.store.messages)+len(h.store.byID) != 0 {
		t.Errorf("memory holds %d entries, %d messages, %d queues", len(h.store.entries), len(h.store.messages), len(h.store.byID))
	}
}

func TestMemoryDoesNotGrowWithTheBacklog(t *testing.T) {
	h := newTestHarness(t, quiet)
	for i := range 300 {
		h.accept(fmt.Sprintf("reader%d@example.com", i))
	}
	h.checkpoint()
	if n := len(h.store.entries); n > h.options.HeadLength {
		t.Errorf("%d entries in memory, head is %d", n, h.options.HeadLength)
	}
	var last time.Time
	for n := 0; n < 300; {
		batch := h.lease(7)
		if len(batch) == 0 {
			t.Fatalf("only %d of 300 came back", n)
		}
		for _, d := range batch {
			if d.Due.Before(last) {
				t.Fatalf("due %v after %v", d.Due, last)
			}
			last = d.Due
		}
		n += len(batch)
		h.settle(batch...)
		if n > 150 && n < 160 {
			h.checkpoint()
		}
	}
	h.checkpoint()
	for _, name := range bucketNames()[1:] {
		if n := h.rows(name); n != 0 {
			t.Errorf("%d rows left in %s", n, name)
		}
	}
}

func TestRecipientsOfOneMessageShareIt(t *testing.T) {
	h := newTestHarness(t, func(o *Options) { quiet(o); o.HeadLength = 10 })
	h.accept("a@example.com", "b@example.com")
	h.reopen()
	got := h.lease(2)
	if len(got) != 2 || got[0].Message != got[1].Message {
		t.Errorf("got %d deliveries that do not share their message", len(got))
	}
	h.store.Return(got)
}

func TestDiskComesBack(t *testing.T) {
	h := newTestHarness(t, quiet)
	for range 200 {
		h.accept("reader@example.com")
	}
	h.checkpoint()
	full := h.store.Stats().JournalBytes
	for batch := h.lease(50); len(batch) > 0; batch = h.lease(50) {
		h.settle(batch...)
	}
	h.awaitEvents()
	h.checkpoint()
	if s := h.store.Stats(); s.JournalBytes > full/4 || s.Recipients != 0 {
		t.Errorf("journal has %d octets after the drain, %d before; %d recipients", s.JournalBytes, full, s.Recipients)
	}
}

func TestSurvivorsOfOldSegmentsMove(t *testing.T) {
	h := newTestHarness(t, func(o *Options) { quiet(o); o.SparseShare = 0.5 })
	old := h.accept("first@example.com")
	survivor := h.lease(1)[0]
	h.store.Return([]*queue.Delivery{survivor})
	for range 200 {
		h.accept("reader@example.com")
	}
	batch := h.lease(201)
	h.settle(batch[1:]...)
	h.store.Return(batch[:1])
	first := h.store.journal.Segments()[0].Number
	h.awaitEvents()
	for range 3 {
		h.checkpoint()
	}
	if now := h.store.journal.Segments()[0].Number; now == first {
		t.Error("the first segment is still there")
	}
	for _, again := range []func(){func() {}, h.reopen, h.crash} {
		again()
		body, err := h.store.Body(context.Background(), &old.Message)
		if err != nil || string(body) != string(old.Body) {
			t.Fatalf("body of the survivor: %v", err)
		}
	}
	if got := h.lease(10); len(got) != 1 || got[0].Message.ID != old.Message.ID {
		t.Errorf("%d recipients left, want the survivor", len(got))
	} else {
		h.settle(got...)
	}
	want := 201 * 2
	if n := len(h.Events(t)); n != want {
		t.Errorf("%d events, want %d", n, want)
	}
}

func TestOpenStoreIsLocked(t *testing.T) {
	h := newTestHarness(t, nil)
	start := time.Now()
	_, err := Open(h.options)
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("second open gave %v after %v", err, time.Since(start))
	}
}

func TestSegmentsWaitForTheEventLog(t *testing.T) {
	h := newTestHarness(t, quiet)
	h.log.setFault(errors.New("no room for events"))
	for range 100 {
		h.accept("reader@example.com")
	}
	first := h.store.journal.Segments()[0].Number
	h.settle(h.lease(100)...)
	h.checkpoint()
	if h.store.journal.Segments()[0].Number != first {
		t.Fatal("a segment went before its events were stored")
	}
	if fault := h.store.Stats().Fault; fault != nil {
		t.Errorf("the event log's fault is shown as the store's: %v", fault)
	}
	h.crash()
	h.log.setFault(nil)
	h.reopen()
	if n := len(h.Events(t)); n != 200 {
		t.Errorf("%d events after the fault, want 200", n)
	}
	h.checkpoint()
	if h.store.journal.Segments()[0].Number == first {
		t.Error("the segments stay after their events were stored")
	}
}

func TestEventsBeyondTheMemoryOfTheWriterAreReadFromTheJournal(t *testing.T) {
	h := newTestHarness(t, nil)
	h.log.setFault(errors.New("slow"))
	var want []string
	for i := range 300 { // many times pendingBatches * EventBatch
		s := h.accept(fmt.Sprintf("reader%d@example.com", i))
		want = append(want, s.Message.ID.String())
	}
	h.log.setFault(nil)
	var got []string
	for _, e := range h.Events(t) {
		got = append(got, e.Message)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d events, want %d in their order", len(got), len(want))
	}
}

func TestEventsAreGivenOnWhileMailRests(t *testing.T) {
	h := newTestHarness(t, nil)
	h.accept("reader@example.com")
	h.Events(t)
	h.accept("reader@example.com")
	if n := len(h.Events(t)); n != 2 {
		t.Errorf("%d events", n)
	}
}

// faultyFiles fails writes and syncs of the journal on demand.
type faultyFiles struct {
	journal.OS
	fault atomic.Pointer[error]
	free  atomic.Int64
}

func (f *faultyFiles) set(err error) {
	if err == nil {
		f.fault.Store(nil)
		return
	}
	f.fault.Store(&err)
}

func (f *faultyFiles) OpenFile(name string, flag int, perm fs.FileMode) (journal.File, error) {
	file, err := f.OS.OpenFile(name, flag, perm)
	return faultyFile{file, f}, err
}

func (f *faultyFiles) FreeBytes(string) (int64, error) { return f.free.Load(), nil }

type faultyFile struct {
	journal.File
	system *faultyFiles
}

func (f faultyFile) Sync() error {
	if p := f.system.fault.Load(); p != nil {
		return *p
	}
	return f.File.Sync()
}

func TestDiskFaultsAreRefusedAndPass(t *testing.T) {
	for fault, want := range map[error]error{
		syscall.ENOSPC: queue.ErrFull, syscall.EDQUOT: queue.ErrFull,
		syscall.EIO: queue.ErrUnavailable, syscall.EROFS: queue.ErrUnavailable,
	} {
		t.Run(fault.Error(), func(t *testing.T) {
			files := &faultyFiles{}
			files.free.Store(1 << 40)
			h := newTestHarness(t, func(o *Options) { o.Files = files })
			h.accept("a@example.com", "b@example.com")
			held := h.lease(2)

			files.set(fault)
			if err := h.store.Accept(context.Background(), submission(t, "lost@example.com")); !errors.Is(err, want) || !errors.Is(err, fault) {
				t.Errorf("Accept gave %v", err)
			}
			if err := h.store.Settle(context.Background(), delivered(held...)); !errors.Is(err, want) {
				t.Errorf("Settle gave %v", err)
			}
			if h.store.Stats().Fault == nil {
				t.Error("Stats shows no fault")
			}
			if _, err := h.store.Cancel(context.Background(), queue.Selector{}, "x"); !errors.Is(err, want) {
				t.Errorf("Cancel gave %v", err)
			}
			files.set(nil)
			h.settle(held...)
			h.accept("c@example.com")
			if f := h.store.Stats().Fault; f != nil {
				t.Errorf("fault stays: %v", f)
			}
			h.crash()
			entries, _, err := h.store.List(context.Background(), queue.Selector{}, "", 10)
			if err != nil || len(entries) != 1 || entries[0].Recipient.Address.Local() != "c" {
				t.Errorf("%d entries, %v", len(entries), err)
			}
		})
	}
}

func TestFullDiskIsRefusedBeforeWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := &faultyFiles{}
		files.free.Store(10)
		h := newTestHarness(t, func(o *Options) { o.Files, o.MinFree = files, 1<<20 })
		if err := h.store.Accept(context.Background(), submission(t, "a@example.com")); !errors.Is(err, queue.ErrFull) {
			t.Errorf("got %v, want full", err)
		}
		files.free.Store(1 << 40)
		time.Sleep(2 * freshness)
		h.accept("a@example.com")
		h.store.Close()
	})
}

func TestMaxBytesBoundsTheStore(t *testing.T) {
	h := newTestHarness(t, func(o *Options) { quiet(o); o.MaxBytes = 1 })
	if err := h.store.Accept(context.Background(), submission(t, "a@example.com")); !errors.Is(err, queue.ErrFull) {
		t.Errorf("got %v, want full", err)
	}
}

// TestLeasesWaitForCheckpoints settles more than two checkpoints may hold while
// none can run.
func TestLeasesWaitForCheckpoints(t *testing.T) {
	h := newTestHarness(t, func(o *Options) { quiet(o); o.CheckpointChanges, o.HeadLength, o.HeadTotal = 10, 100, 100 })
	for range 6 {
		for range 8 {
			h.accept("a@example.com")
		}
		h.checkpoint()
	}
	leased := h.lease(40)
	h.store.checkpoints.running.Lock()
	h.settle(leased...)
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	go func() {
		_, err := h.store.Next(ctx, exampleKey(), 10)
		errs <- err
	}()
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("Next without room: %v", err)
	}
	go func() {
		d, err := h.store.Next(t.Context(), exampleKey(), 10)
		if len(d) != 8 {
			err = errors.Join(err, fmt.Errorf("leased %d, want 8", len(d)))
		}
		errs <- err
	}()
	h.store.checkpoints.running.Unlock()
	if err := <-errs; err != nil {
		t.Error(err)
	}
}

func TestFailedCheckpointIsMadeUpFor(t *testing.T) {
	h := newTestHarness(t, quiet)
	h.accept("a@example.com", "b@example.com")
	h.checkpoint()
	h.accept("c@example.com")
	h.settle(h.lease(1)...)

	snap := h.store.freeze()
	h.settle(h.lease(2)...) // one of them frozen and new, one frozen and stored
	h.store.mu.Lock()
	h.store.thaw(snap)
	h.store.mu.Unlock()
	if n := len(h.store.entries); n != 3 {
		t.Errorf("%d entries in memory, want the two whose rows have to go and the one that may have a row", n)
	}
	h.checkpoint()
	if n := h.rows(bucketRecipients) + len(h.store.entries) + len(h.store.messages); n != 0 {
		t.Errorf("%d things left", n)
	}
}

func TestChangesDuringACheckpointAreKept(t *testing.T) {
	h := newTestHarness(t, quiet)
	h.accept("a@example.com")
	snap := h.store.freeze()
	h.settle(h.lease(1)...)
	if err := h.store.writeParts(snap); err != nil {
		t.Fatal(err)
	}
	h.store.mu.Lock()
	h.store.takeOver(snap)
	h.store.mu.Unlock()
	if h.rows(bucketRecipients) != 1 {
		t.Fatal("the snapshot was not written")
	}
	h.checkpoint()
	if n := h.rows(bucketRecipients) + h.rows(bucketMessages) + len(h.store.entries); n != 0 {
		t.Errorf("%d things left", n)
	}
}

func TestCommitReportedAsFailedCountsOnce(t *testing.T) {
	h := newTestHarness(t, quiet)
	h.accept("a@example.com")
	snap := h.store.freeze()
	if err := h.store.writeParts(snap); err != nil { // took effect ...
		t.Fatal(err)
	}
	h.store.mu.Lock()
	h.store.thaw(snap) // ... but nobody knew
	h.store.mu.Unlock()
	d := h.lease(1)
	if err := h.store.Defer(context.Background(), []queue.Deferral{{
		Recipient: d[0].ID(), Until: time.Now().Add(time.Minute), Event: d[0].Event(event.Deferred, time.Now()),
	}}); err != nil {
		t.Fatal(err)
	}
	h.checkpoint()
	if h.rows(bucketDue) != 1 || h.rows(bucketRecipients) != 1 {
		t.Errorf("%d due, %d recipients", h.rows(bucketDue), h.rows(bucketRecipients))
	}
}

func TestDamagedBodyIsReportedAndSetAside(t *testing.T) {
	h := newTestHarness(t, func(o *Options) { quiet(o); o.RecentBytes = -1 })
	s := h.accept("a@example.com")
	at := h.store.messages[s.Message.ID].position
	name := filepath.Join(h.options.Dir, journalDir, fmt.Sprintf("%08d", at.Segment()))
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, s.Body)] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := h.store.Body(context.Background(), &s.Message); !errors.Is(err, queue.ErrDamaged) {
			t.Errorf("got %v", err)
		}
	}
	if n := h.store.Stats().Damaged; n != 1 {
		t.Errorf("damage counted %d times", n)
	}
	aside, err := filepath.Glob(filepath.Join(h.options.Dir, journalDir, "damaged", "*"))
	if err != nil || len(aside) != 1 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
}

func TestMissingSegmentLosesOnlyWhatWasInIt(t *testing.T) {
	h := newTestHarness(t, quiet)
	var all []*queue.Submission
	for i := range 100 {
		all = append(all, h.accept(fmt.Sprintf("reader%d@example.com", i)))
	}
	h.checkpoint()
	segment := h.store.journal.Segments()[1].Number
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(h.options.Dir, journalDir, fmt.Sprintf("%08d", segment))); err != nil {
		t.Fatal(err)
	}
	h.open()
	damaged := 0
	for _, s := range all {
		body, err := h.store.Body(context.Background(), &s.Message)
		switch {
		case errors.Is(err, queue.ErrDamaged):
			damaged++
		case err != nil || string(body) != string(s.Body):
			t.Errorf("body: %v", err)
		}
	}
	if damaged == 0 || damaged > 60 {
		t.Errorf("%d bodies are damaged", damaged)
	}
	if n := len(h.lease(100)); n != 100 {
		t.Errorf("%d recipients are still owed, want all", n)
	}
}

func TestWhatWasDueWaitsAfterACrashOnly(t *testing.T) {
	h := newTestHarness(t, quiet)
	h.options.RestartDelay = time.Hour
	h.accept("a@example.com", "b@example.com")
	h.checkpoint()
	h.reopen()
	if n := len(h.lease(10)); n != 2 {
		t.Fatalf("%d due after a clean stop, want 2", n)
	}
	h.crash()
	if n := len(h.lease(10)); n != 0 {
		t.Errorf("%d due at once after a crash", n)
	}
	h.accept("new@example.com")
	if got := h.lease(10); len(got) != 1 || got[0].Recipient.Address.Local() != "new" {
		t.Errorf("%d new due after a crash, want the one that came since", len(got))
	}
}

func TestDeferBeyondExpiryIsDueAtExpiry(t *testing.T) {
	h := newTestHarness(t, quiet)
	s := h.accept("a@example.com")
	d := h.lease(1)[0]
	err := h.store.Defer(context.Background(), []queue.Deferral{{
		Recipient: d.ID(), Until: s.Message.Expires.Add(time.Hour), Event: d.Event(event.Deferred, time.Now()),
	}})
	if err != nil {
		t.Fatal(err)
	}
	entries, _, err := h.store.List(context.Background(), queue.Selector{}, "", 1)
	if err != nil || len(entries) != 1 || !entries[0].Due.Equal(s.Message.Expires) {
		t.Errorf("due %v, want %v", entries[0].Due, s.Message.Expires)
	}
}

func TestCancelOfManyInBatches(t *testing.T) {
	h := newTestHarness(t, nil)
	for range 12 {
		var to []string
		for i := range 100 {
			to = append(to, fmt.Sprintf("reader%d@example%d.com", i, i%3))
		}
		h.accept(to...)
	}
	n, err := h.store.Cancel(context.Background(), queue.Selector{Tenant: "acme"}, "test")
	if err != nil || n != 1200 {
		t.Errorf("cancelled %d, %v", n, err)
	}
	if st := h.store.Stats(); st.Recipients != 0 || st.Messages != 0 || st.Queues != 0 {
		t.Errorf("left %+v", st)
	}
	if n := len(h.Events(t)); n != 2400 {
		t.Errorf("%d events", n)
	}
}

func TestListRefusesForeignCursors(t *testing.T) {
	h := newTestHarness(t, nil)
	for _, after := range []string{"x", "00", strings.Repeat("0", 2*recipientKeyLength+2)} {
		if _, _, err := h.store.List(context.Background(), queue.Selector{}, after, 1); !errors.Is(err, errCursor) {
			t.Errorf("%q gave %v", after, err)
		}
	}
}

func TestHolder(t *testing.T) {
	h := newTestHarness(t, quiet)
	ctx := context.Background()
	h.accept("reader@example.com", "other@example.com")
	h.checkpoint()
	h.accept("Reader@example.com")
	subject := person.Subject{Tenant: "acme", Address: address(t, "READER@example.com")}
	if n, err := h.store.Find(ctx, subject); n != 2 || err != nil {
		t.Errorf("found %d, %v", n, err)
	}
	if n, err := h.store.Find(ctx, person.Subject{Tenant: "rival", Address: subject.Address}); n != 0 || err != nil {
		t.Errorf("another tenant's: %d, %v", n, err)
	}
	exported := 0
	err := h.store.Export(ctx, subject, func(r person.Record) error {
		exported++
		if r.Kind == "" || r.Time.IsZero() || r.Data == nil {
			t.Errorf("record %+v", r)
		}
		return nil
	})
	if exported != 2 || err != nil {
		t.Errorf("exported %d, %v", exported, err)
	}
	if n, err := h.store.Erase(ctx, subject); n != 2 || err != nil {
		t.Errorf("erased %d, %v", n, err)
	}
	if n, err := h.store.Find(ctx, subject); n != 0 || err != nil {
		t.Errorf("found %d after the erasure, %v", n, err)
	}
	events := h.Events(t)
	if last := events[len(events)-1]; last.Type != event.Dropped || last.Reason != erasedReason {
		t.Errorf("last event %+v", last)
	}
}

func TestAcceptRefusesWhatHasNoRecipientsOrNoID(t *testing.T) {
	h := newTestHarness(t, nil)
	if err := h.store.Accept(context.Background(), submission(t)); !errors.Is(err, errNoRecipients) {
		t.Errorf("got %v", err)
	}
	s := submission(t, "a@example.com")
	s.Message.ID = queue.ID{}
	if err := h.store.Accept(context.Background(), s); !errors.Is(err, errNoID) {
		t.Errorf("got %v", err)
	}
}

func TestQueueThatCannotBeOpenedLeavesNothingOpen(t *testing.T) {
	dir := tempDir(t)
	if err := os.WriteFile(filepath.Join(dir, journalDir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); err == nil {
		t.Fatal("a file in the place of the journal was accepted")
	}
	if err := os.Remove(filepath.Join(dir, journalDir)); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

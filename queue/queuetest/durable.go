package queuetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

func durableCases() []testCase {
	return []testCase{
		{"everything outlives a reopening", func(t *trial) { testOutlives(t, t.reopen) }},
		{"everything outlives a crash", func(t *trial) { testOutlives(t, t.crash) }},
		{"leases end with a crash", testCrashLeased},
		{"a crash while mail is accepted and settled", testCrashUnderLoad},
	}
}

func (t *trial) reopen() {
	t.Helper()
	t.Reopen(t.T)
}

func (t *trial) crash() {
	t.Helper()
	if !t.Crash(t.T) {
		t.Skip("this store's harness cannot crash")
	}
}

// Each state that a recipient can be in, over three ends of the process.
func testOutlives(t *trial, again func()) {
	waiting := t.accept(t.everything())
	scheduled := t.submission("reader@scheduled.example")
	scheduled.Message.NotBefore = now().Add(time.Hour)
	t.accept(scheduled)
	mixed := t.acceptTo("a@mixed.example", "b@mixed.example", "c@mixed.example", "d@mixed.example")
	until := now().Add(2 * time.Hour)
	for _, d := range t.take(keyOf("mixed.example"), 4) {
		switch d.Index {
		case 0:
			t.settle(event.Delivered, d)
		case 1:
			t.deferUntil(until, d)
		case 2:
			t.Store().Return([]*queue.Delivery{d})
		case 3:
			t.settle(event.Bounced, d)
		}
	}
	cancelled := t.acceptTo("reader@cancelled.example")
	if n, err := t.Store().Cancel(t.Context(), queue.Selector{Message: cancelled.Message.ID}, "withdrawn"); n != 1 || err != nil {
		t.Fatalf("Cancel: %d, %v", n, err)
	}
	retried := t.submission("reader@retried.example")
	retried.Message.NotBefore = now().Add(time.Hour)
	t.accept(retried)
	if n, err := t.Store().Retry(t.Context(), queue.Selector{Message: retried.Message.ID}); n != 1 || err != nil {
		t.Fatalf("Retry: %d, %v", n, err)
	}
	owed := slices.Concat(ids(waiting, scheduled, retried), ids(mixed)[1:3])
	before := t.list(queue.Selector{}, 1000)
	events := t.Events(t.T)
	for range 3 {
		again()
		t.wantOwed(owed...)
		t.wantEntries(before)
		t.same("events", t.Events(t.T), events)
	}
	t.drainRest(waiting, mixed)
}

// wantEntries compares entries; only what was due may have moved, by a little.
func (t *trial) wantEntries(want []queue.Entry) {
	t.Helper()
	for i, got := range t.list(queue.Selector{}, 1000) {
		want := want[i]
		if overdue := !want.Due.After(time.Now()); overdue && time.Until(got.Due) < time.Minute {
			want.Due = got.Due
		}
		if !got.Due.Equal(want.Due) {
			t.Fatalf("%s is due %s, want %s", entryID(got), got.Due, want.Due)
		}
		got.Due = want.Due
		t.same("entry", got, want)
	}
}

// drainRest wants what was due before to be due after all.
func (t *trial) drainRest(waiting, mixed *queue.Submission) {
	t.Helper()
	rest := t.take(keyOf("example.com"), 2)
	t.wantBody(rest[0], waiting.Body)
	rest = append(rest, t.take(keyOf("mixed.example"), 1)...)
	t.wantBody(rest[2], mixed.Body)
	rest = append(rest, t.take(keyOf("retried.example"), 1)...)
	t.settle(event.Delivered, rest...)
	t.wantNone(keyOf("scheduled.example"))
	t.wantStats(2, 2, 2)
}

func testCrashLeased(t *trial) {
	s := t.acceptTo(readers(3, "example.com")...)
	d := t.take(key(), 3)
	t.settle(event.Delivered, d[0])
	t.deferUntil(now().Add(-time.Second), d[1])
	again := t.take(key(), 1)[0]
	t.crash()
	t.wantOwed(d[1].ID(), d[2].ID())
	for _, e := range t.list(queue.Selector{}, 10) {
		if e.Leased {
			t.Errorf("%s is leased after a crash", entryID(e))
		}
	}
	t.ready(key())
	for _, x := range t.take(key(), 2) {
		if want := map[int]int{again.Index: 1}[x.Index]; x.Attempts != want {
			t.Errorf("%s has %d attempts after a crash, want %d", x.ID(), x.Attempts, want)
		}
		t.settle(event.Delivered, x)
	}
	t.wantHistory(ids(s)[again.Index], event.Accepted, event.Deferred, event.Delivered)
}

// What was answered before the crash is true after it. What was not may be
// either, but whole: accepted with its event, ended with its event.
func testCrashUnderLoad(t *trial) {
	const writers, rounds = 4, 40
	a := &answers{latest: map[queue.RecipientID]event.Type{}, enough: make(chan struct{}), wanted: writers * rounds / 2}
	store := t.Store()
	var wait sync.WaitGroup
	for range writers {
		wait.Go(func() { t.work(store, rounds, a) })
	}
	select {
	case <-a.enough:
	case <-time.After(t.patience):
		t.Errorf("the store answers too little to be tested")
	}
	before := a.end()
	t.crash()
	wait.Wait()
	t.wantTruth(before)
}

// work accepts and settles, a recipient at a time.
func (t *trial) work(store queue.Store, rounds int, a *answers) {
	for range rounds {
		s := t.submission("reader@example.com")
		if !a.note(t.T, ids(s)[0], event.Accepted, store.Accept(t.Context(), s)) {
			return
		}
		got, err := store.Next(t.Context(), key(), 1)
		if err != nil {
			return
		}
		for _, d := range got {
			err := store.Settle(t.Context(), []queue.Outcome{outcome(d, event.Delivered)})
			a.note(t.T, d.ID(), event.Delivered, err)
		}
	}
}

// answers are what a store said was done, until the crash.
type answers struct {
	mu     sync.Mutex
	latest map[queue.RecipientID]event.Type
	ended  bool
	wanted int
	enough chan struct{}
}

func (a *answers) note(t *testing.T, id queue.RecipientID, kind event.Type, err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended || err != nil {
		if !a.ended {
			t.Errorf("%s: %v", kind, err)
		}
		return false
	}
	a.latest[id] = kind
	if a.wanted--; a.wanted == 0 {
		close(a.enough)
	}
	return true
}

func (a *answers) end() map[queue.RecipientID]event.Type {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	return a.latest
}

func (t *trial) wantTruth(answered map[queue.RecipientID]event.Type) {
	t.Helper()
	owed := map[queue.RecipientID]bool{}
	for _, e := range t.list(queue.Selector{}, 1000) {
		owed[entryID(e)] = true
	}
	histories := map[queue.RecipientID][]event.Type{}
	for _, e := range t.Events(t.T) {
		message, err := queue.ParseID(e.Message)
		if err != nil {
			t.Fatal(err)
		}
		id := queue.RecipientID{Message: message, Index: e.Index}
		histories[id] = append(histories[id], e.Type)
	}
	for id, kinds := range histories {
		want := []event.Type{event.Accepted}
		if !owed[id] {
			want = append(want, event.Delivered)
		}
		if !slices.Equal(kinds, want) {
			t.Fatalf("%s, owed %t, has events %q", id, owed[id], kinds)
		}
	}
	for id, kind := range answered {
		if histories[id] == nil || kind == event.Delivered && owed[id] {
			t.Fatalf("%s was answered as %s, but: owed %t, events %q", id, kind, owed[id], histories[id])
		}
	}
	for id := range owed {
		if histories[id] == nil {
			t.Fatalf("%s is owed without an event", id)
		}
	}
}

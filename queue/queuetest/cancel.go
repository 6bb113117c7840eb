package queuetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

func cancelCases() []testCase {
	return []testCase{
		{"cancel leaves what is leased until it is back", testCancelLeased},
		{"cancel spares what comes later", testCancelLater},
		{"cancel while mail is taken and settled", testCancelConcurrent},
		{"cancel has one place among accepts", testCancelAmongAccepts},
		{"cancel takes effect at once", testCancelAtOnce},
		{"cancel goes on without its caller", testCancelAbandoned},
		{"cancel outlives a restart", func(t *trial) { testCancelDurable(t, t.reopen) }},
		{"cancel outlives a crash", func(t *trial) { testCancelDurable(t, t.crash) }},
	}
}

func (t *trial) cancel(x queue.Selector, want int) {
	t.Helper()
	if n, err := t.Store().Cancel(t.Context(), x, "withdrawn"); n != want || err != nil {
		t.Fatalf("Cancel(%+v): %d, %v; want %d", x, n, err, want)
	}
}

// awaitOwed waits until only so many recipients are owed.
func (t *trial) awaitOwed(most int) {
	t.Helper()
	for deadline := time.Now().Add(t.patience); t.Store().Stats().Recipients > int64(most); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d recipients are owed after all that time, want %d", t.Store().Stats().Recipients, most)
		}
	}
}

func testCancelLeased(t *trial) {
	s := t.acceptTo(readers(5, "example.com")...)
	leased := t.take(key(), 4)
	t.cancel(queue.Selector{Message: s.Message.ID}, 1)
	for i, d := range leased {
		t.awaitOwed(len(leased) - i)
		t.wantBody(d, s.Body)
		switch i {
		case 0:
			t.settle(event.Delivered, d)
		case 1:
			t.Store().Return([]*queue.Delivery{d})
		case 2:
			t.deferUntil(now().Add(time.Hour), d)
		case 3:
			t.deferUntil(now().Add(-time.Second), d)
		}
	}
	t.awaitOwed(0)
	t.wantNone(key())
	t.wantHistory(leased[0].ID(), event.Accepted, event.Delivered)
	t.wantHistory(leased[1].ID(), event.Accepted, event.Dropped)
	t.wantHistory(leased[2].ID(), event.Accepted, event.Deferred, event.Dropped)
	t.wantHistory(leased[3].ID(), event.Accepted, event.Deferred, event.Dropped)
	t.Reopen(t.T)
	t.wantOwed()
}

// What is accepted later is offered, even while a cancel waits for a lease.
func testCancelLater(t *trial) {
	for _, x := range []queue.Selector{{}, {Campaign: "spring"}, {Domain: "example.com"}, {Recipient: t.address("a@example.com")}} {
		before, later := t.submission("a@example.com", "a@example.com"), t.submission("a@example.com")
		before.Message.Campaign, later.Message.Campaign = "spring", "spring"
		t.accept(before)
		away := t.take(key(), 1)
		t.cancel(x, 1)
		t.accept(later)
		t.wantOwed(append(ids(later), away[0].ID())...)
		t.wantOffered(ids(later))
		t.Store().Return(away)
		t.awaitOwed(1)
		t.wantOffered(ids(later))
		t.Reopen(t.T)
		t.settle(event.Delivered, t.take(key(), 1)...)
		t.wantHistory(ids(later)[0], event.Accepted, event.Delivered)
		t.wantOwed()
	}
}

// Every recipient ends once, by the one or by the other.
func testCancelConcurrent(t *trial) {
	const recipients = 300
	s := t.acceptTo(readers(recipients, "example.com")...)
	slow := t.take(key(), 10)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for {
				got, err := t.Store().Next(t.Context(), key(), 2)
				if err != nil {
					t.Errorf("Next: %v", err)
				}
				if len(got) == 0 {
					return
				}
				for _, d := range got {
					if err := t.Store().Settle(t.Context(), []queue.Outcome{outcome(d, event.Delivered)}); err != nil {
						t.Errorf("Settle: %v", err)
					}
				}
			}
		})
	}
	cancelled, err := t.Store().Cancel(t.Context(), queue.Selector{Tenant: tenant}, "withdrawn")
	wait.Wait()
	if err != nil {
		t.Fatalf("Cancel: %v", err)
	}
	t.settle(event.Delivered, slow...)
	t.wantOwed()
	dropped := 0
	events := t.Events(t.T)
	for _, id := range ids(s) {
		got := history(events, id)
		if len(got) != 2 {
			t.Fatalf("events of %s: %q", id, got)
		}
		if got[1] == event.Dropped {
			dropped++
		}
	}
	if dropped != cancelled {
		t.Errorf("%d dropped events, but Cancel counted %d", dropped, cancelled)
	}
}

// A cancel has one place in the order of accepts: of messages that one client
// hands in one after the other, it ends the first few and none behind them. The
// clients go on until it is done.
func testCancelAmongAccepts(t *trial) {
	const clients, before, most = 4, 20, 5000
	all := make([][]*queue.Submission, clients)
	begin := make(chan struct{})
	var done atomic.Bool
	var wait sync.WaitGroup
	for n := range clients {
		wait.Go(func() {
			for i := 0; i < most && (i <= before || !done.Load()); i++ {
				s := t.submission("a@one.example", "b@two.example", "c@two.example")
				s.Message.Campaign = "spring"
				if err := t.Store().Accept(t.Context(), s); err != nil {
					t.Errorf("Accept: %v", err)
					return
				}
				all[n] = append(all[n], s)
				if n == 0 && i == before {
					close(begin)
				}
			}
		})
	}
	<-begin
	if _, err := t.Store().Cancel(t.Context(), queue.Selector{Campaign: "spring"}, "withdrawn"); err != nil {
		t.Errorf("Cancel: %v", err)
	}
	done.Store(true)
	wait.Wait()
	owed := map[queue.RecipientID]bool{}
	for _, e := range t.list(queue.Selector{}, 1000) {
		owed[entryID(e)] = true
	}
	for n, sent := range all {
		spared := false
		for i, s := range sent {
			left := 0
			for _, id := range ids(s) {
				if owed[id] {
					left++
				}
			}
			switch {
			case left > 0 && left < len(s.Recipients):
				t.Fatalf("%s is cancelled for some of its recipients", s.Message.ID)
			case left == 0 && spared:
				t.Fatalf("%s is cancelled, and one that came before it is not", s.Message.ID)
			case left > 0 && n == 0 && i <= before:
				t.Fatalf("%s is not cancelled", s.Message.ID)
			}
			spared = left > 0
		}
	}
	t.cancelAll()
}

// campaignSize is more than most stores end at once.
const campaignSize = 3500

// beginCancel accepts a campaign and cancels it. It returns as soon as the
// cancel has taken effect, with what stops the waiting for its end.
func (t *trial) beginCancel() (s *queue.Submission, stop func() error) {
	t.Helper()
	s = t.submission(readers(campaignSize, "example.com")...)
	s.Message.Campaign = "spring"
	t.accept(s)
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	var err error
	store := t.Store()
	wait.Go(func() { _, err = store.Cancel(ctx, queue.Selector{Campaign: "spring"}, "withdrawn") })
	stop = func() error {
		cancel()
		wait.Wait()
		return err
	}
	t.Cleanup(func() { _ = stop() })
	for deadline := time.Now().Add(t.patience); store.Stats().Recipients == campaignSize; time.Sleep(50 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatal("Cancel does nothing")
		}
	}
	return s, stop
}

// wantCancelled wants all of a campaign to end, never to be offered, and others
// to be.
func (t *trial) wantCancelled(s *queue.Submission, others ...*queue.Submission) {
	t.Helper()
	other := map[queue.RecipientID]bool{}
	for _, id := range ids(others...) {
		other[id] = true
	}
	for deadline := time.Now().Add(t.patience); ; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are owed after all that time, want %d", t.Store().Stats().Recipients, len(other))
		}
		got := t.next(key(), 100)
		for _, d := range got {
			if !other[d.ID()] {
				t.Fatalf("%s is offered after its cancel took effect", d.ID())
			}
		}
		t.Store().Return(got)
		if t.Store().Stats().Recipients == int64(len(other)) {
			break
		}
	}
	rest := t.take(key(), len(other))
	for _, d := range rest {
		if !other[d.ID()] {
			t.Fatalf("%s is offered after its cancel took effect", d.ID())
		}
	}
	t.Store().Return(rest)
	histories := map[queue.RecipientID][]event.Type{}
	for _, e := range t.Events(t.T) {
		if e.Message == s.Message.ID.String() {
			id := queue.RecipientID{Message: s.Message.ID, Index: e.Index}
			histories[id] = append(histories[id], e.Type)
		}
	}
	for _, id := range ids(s) {
		if got := histories[id]; len(got) != 2 || got[0] != event.Accepted || got[1] != event.Dropped {
			t.Fatalf("events of %s, cancelled: %q", id, got)
		}
	}
}

// later accepts what a cancel of the campaign is not to reach.
func (t *trial) later() *queue.Submission {
	t.Helper()
	s := t.submission(readers(5, "example.com")...)
	s.Message.Campaign = "spring"
	return t.accept(s)
}

func testCancelAtOnce(t *trial) {
	s, _ := t.beginCancel()
	later := t.later()
	t.wantCancelled(s, later)
}

func testCancelAbandoned(t *trial) {
	s, stop := t.beginCancel()
	if err := stop(); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Cancel: %v", err)
	}
	t.wantCancelled(s)
}

func testCancelDurable(t *trial, again func()) {
	s, stop := t.beginCancel()
	first := t.later()
	again()
	_ = stop() // it went on with the store that is no more
	t.wantCancelled(s, first, t.later())
	again()
	t.wantStats(10, 2, 1)
}

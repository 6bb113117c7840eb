package queuetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

func readyCases() []testCase {
	return []testCase{
		{"ready reports each queue that is due", testReadyReports},
		{"ready reports a queue once", testReadyOnce},
		{"ready reports again after Next found the queue empty", testReadyAgain},
		{"ready wakes a waiting caller", testReadyWakes},
		{"ready reports what becomes due", testReadyDue},
		{"ready reports what is deferred, returned or retried", testReadyGivenBack},
		{"ready wakes for what was deferred while its queue was reported", testReadyReported},
		{"ready ends with its context", testReadyContext},
		{"ready ends when the store closes", testReadyClose},
		{"ready loses no wake-up under load", testReadyLoad},
	}
}

func testReadyReports(t *trial) {
	t.acceptTo("a@one.example", "b@two.example", "c@two.example")
	other := t.submission("a@one.example")
	other.Message.Stream = "marketing"
	t.accept(other)
	t.ready(keyOf("one.example"), keyOf("two.example"), queue.Key{Tenant: tenant, Stream: "marketing", Domain: "one.example"})
	t.wantSilence()
}

func testReadyOnce(t *trial) {
	t.acceptTo(readers(3, "example.com")...)
	t.ready(key())
	t.wantSilence()
	t.acceptTo("more@example.com")
	t.wantSilence()
	// As many as were asked for: there may be more, so the caller asks again.
	first := t.next(key(), 2)
	t.wantSilence()
	t.settle(event.Delivered, append(first, t.take(key(), 2)...)...)
}

func testReadyAgain(t *trial) {
	for range 3 {
		t.acceptTo("reader@example.com")
		t.ready(key())
		if got := t.next(key(), 2); len(got) != 1 {
			t.Fatalf("Next gave %d, want 1", len(got))
		} else {
			t.settle(event.Delivered, got...)
		}
		t.wantSilence()
	}
	t.acceptTo("reader@example.com")
	t.ready(key())
	t.settle(event.Delivered, t.take(key(), 1)...)
	t.wantNone(key())
	t.acceptTo("reader@example.com")
	t.ready(key())
}

func testReadyWakes(t *trial) {
	s := t.submission("reader@example.com")
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		time.Sleep(silence / 2) // so that Ready most likely waits by then
		if err := t.Store().Accept(t.Context(), s); err != nil {
			t.Errorf("Accept: %v", err)
		}
	})
	t.ready(key())
}

func testReadyDue(t *trial) {
	s := t.submission("reader@example.com")
	s.Message.NotBefore = now().Add(3 * silence)
	t.accept(s)
	later := t.submission("reader@later.example")
	later.Message.NotBefore = now().Add(time.Hour)
	t.accept(later)
	t.wantNone(key())
	t.ready(key())
	if time.Now().Before(s.Message.NotBefore) {
		t.Error("reported before it was due")
	}
	d := t.next(key(), 1)
	if len(d) != 1 {
		t.Fatal("reported but not due")
	}
	t.settle(event.Delivered, d...)
	t.wantNone(keyOf("later.example"))
}

func testReadyGivenBack(t *trial) {
	t.acceptTo("reader@example.com")
	give := map[string]func(*queue.Delivery){
		"deferred": func(d *queue.Delivery) { t.deferUntil(now().Add(20*time.Millisecond), d) },
		"overdue":  func(d *queue.Delivery) { t.deferUntil(now().Add(-time.Minute), d) },
		"returned": func(d *queue.Delivery) { t.Store().Return([]*queue.Delivery{d}) },
		"retried": func(d *queue.Delivery) {
			t.deferUntil(now().Add(time.Hour), d)
			t.wantSilence()
			if n, err := t.Store().Retry(t.Context(), queue.Selector{}); n != 1 || err != nil {
				t.Fatalf("Retry: %d, %v", n, err)
			}
		},
	}
	for name, back := range give {
		t.Logf("%s", name)
		t.ready(key())
		got := t.next(key(), 2)
		if len(got) != 1 {
			t.Fatalf("%d were due when the queue was reported", len(got))
		}
		back(got[0])
	}
	t.ready(key())
}

// testReadyReported lets a caller wait in Ready before the queue that it must
// wake for is rearmed: the due time was known before the queue was found empty.
func testReadyReported(t *trial) {
	t.acceptTo("reader@example.com")
	t.ready(key())
	leased := t.next(key(), 1)
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		time.Sleep(silence / 2) // so that Ready most likely waits by then
		x := deferral(leased[0], now().Add(3*silence))
		if err := t.Store().Defer(t.Context(), []queue.Deferral{x}); err != nil {
			t.Errorf("Defer: %v", err)
		}
		time.Sleep(silence / 2) // so that Ready has seen the deferral
		if more, err := t.Store().Next(t.Context(), key(), 1); err != nil || len(more) > 0 {
			t.Errorf("Next: %d deliveries, %v", len(more), err)
		}
	})
	t.ready(key())
}

func testReadyContext(t *trial) {
	ctx, cancel := context.WithCancel(t.Context())
	end := make(chan error, 1)
	var wait sync.WaitGroup
	wait.Go(func() {
		_, err := t.Store().Ready(ctx)
		end <- err
	})
	cancel()
	wait.Wait()
	if err := <-end; !errors.Is(err, context.Canceled) {
		t.Errorf("Ready: %v", err)
	}
	// Nothing was taken away from the next caller.
	t.acceptTo("reader@example.com")
	t.ready(key())
}

func testReadyClose(t *trial) {
	store, end := t.Store(), make(chan error, 1)
	var wait sync.WaitGroup
	wait.Go(func() {
		_, err := store.Ready(t.Context())
		end <- err
	})
	t.Reopen(t.T)
	wait.Wait()
	if err := <-end; !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Ready: %v", err)
	}
}

const (
	loadProducers = 6
	loadMessages  = 60
	loadQueues    = 5
)

// Producers feed a few queues while one consumer lives by Ready alone. A lost
// wake-up leaves it waiting.
func testReadyLoad(t *trial) {
	ctx, cancel := context.WithTimeout(t.Context(), t.patience)
	defer cancel()
	var wait sync.WaitGroup
	defer wait.Wait()
	for p := range loadProducers {
		wait.Go(func() {
			for n := range loadMessages {
				domain := mail.Domain(fmt.Sprintf("q%d.example", (p+n)%loadQueues))
				if err := t.Store().Accept(ctx, t.submission(reader(n, string(domain)))); err != nil {
					t.Errorf("Accept: %v", err)
				}
			}
		})
	}
	for left := loadProducers * loadMessages; left > 0; {
		keys, err := t.Store().Ready(ctx)
		if err != nil {
			t.Fatalf("a wake-up was lost with %d waiting: %v", left, err)
		}
		for _, k := range keys {
			left -= t.drainSome(k)
		}
	}
	t.wantOwed()
}

// drainSome empties a queue as a scheduler does. Many recipients are given back
// first, in one way or the other.
func (t *trial) drainSome(k queue.Key) (settled int) {
	const limit = 3
	for {
		got := t.next(k, limit)
		for _, d := range got {
			switch choice := rand.IntN(3); {
			case d.Attempts == 0 && choice == 0:
				t.deferUntil(now().Add(rand.N(8*time.Millisecond)), d)
			case d.Attempts == 0 && choice == 1:
				t.Store().Return([]*queue.Delivery{d})
			default:
				t.settle(event.Delivered, d)
				settled++
			}
		}
		if len(got) < limit {
			return settled
		}
	}
}

package queuetest

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

func outcomeCases() []testCase {
	return []testCase{
		{"each outcome ends its recipient with one event", testSettle},
		{"outcome's event is kept as it was", testSettleEvent},
		{"one message's recipients end apart", testSettleApart},
		{"settling the unknown", testSettleUnknown},
		{"outcomes are settled at once by many", testSettleConcurrent},
		{"deferral counts an attempt", testDefer},
		{"deferral never passes the expiry", testDeferClamped},
		{"recorded events join the order", testRecord},
	}
}

func testSettle(t *trial) {
	kinds := []event.Type{event.Delivered, event.Bounced, event.Expired, event.Dropped}
	s := t.acceptTo(readers(len(kinds), "example.com")...)
	for _, d := range t.take(key(), len(kinds)) {
		t.settle(kinds[d.Index], d)
	}
	t.wantNone(key())
	t.wantOwed()
	t.Reopen(t.T)
	t.wantOwed()
	for i, id := range ids(s) {
		t.wantHistory(id, event.Accepted, kinds[i])
	}
}

func testSettleEvent(t *trial) {
	s := t.accept(t.everything())
	deliveries := t.take(key(), 2)
	o := outcome(deliveries[0], event.Bounced)
	o.Event.Site = "google"
	o.Event.Source = "192.0.2.1"
	o.Event.Reply = &mail.Reply{Code: 550, Enhanced: mail.EnhancedCode{Class: 5, Subject: 1, Detail: 1}, Text: "no <such> user ü"}
	if err := t.Store().Settle(t.Context(), []queue.Outcome{o}); err != nil {
		t.Fatalf("Settle: %v", err)
	}
	t.settle(event.Delivered, deliveries[1])
	t.Reopen(t.T)
	events := t.Events(t.T)
	if len(events) != 4 {
		t.Fatalf("%d events, want 4", len(events))
	}
	t.same("event of "+s.Message.ID.String(), events[2], o.Event)
}

func testSettleApart(t *trial) {
	s := t.acceptTo(readers(4, "example.com")...)
	deliveries := t.take(key(), 4)
	t.settle(event.Delivered, deliveries[0], deliveries[2])
	t.wantOwed(deliveries[1].ID(), deliveries[3].ID())
	t.wantBody(deliveries[1], s.Body)
	t.Store().Return([]*queue.Delivery{deliveries[1], deliveries[3]})
	t.Reopen(t.T)
	t.wantOwed(deliveries[1].ID(), deliveries[3].ID())
	rest := t.take(key(), 2)
	t.wantBody(rest[0], s.Body)
	t.settle(event.Delivered, rest...)
}

func testSettleUnknown(t *trial) {
	s := t.acceptTo("reader@example.com")
	d := t.take(key(), 1)[0]
	stranger := *d
	message := *d.Message
	message.ID = queue.NewID(now())
	stranger.Message = &message
	beyond := *d
	beyond.Index = 7
	t.settle(event.Delivered, d)
	for name, gone := range map[string]*queue.Delivery{"message": &stranger, "index": &beyond, "settled": d} {
		if err := t.Store().Settle(t.Context(), []queue.Outcome{outcome(gone, event.Bounced)}); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("Settle of unknown %s: %v", name, err)
		}
		if err := t.Store().Defer(t.Context(), []queue.Deferral{deferral(gone, now())}); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("Defer of unknown %s: %v", name, err)
		}
	}
	t.wantHistory(ids(s)[0], event.Accepted, event.Delivered)
	if got := len(t.Events(t.T)); got != 2 {
		t.Errorf("%d events, want 2", got)
	}
}

func testSettleConcurrent(t *trial) {
	const recipients, workers = 240, 8
	s := t.acceptTo(readers(recipients, "example.com")...)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for {
				got, err := t.Store().Next(t.Context(), key(), 4)
				if err != nil {
					t.Errorf("Next: %v", err)
				}
				if len(got) == 0 {
					return
				}
				outcomes := make([]queue.Outcome, len(got))
				for i, d := range got {
					outcomes[i] = outcome(d, event.Delivered)
				}
				if err := t.Store().Settle(t.Context(), outcomes); err != nil {
					t.Errorf("Settle: %v", err)
				}
			}
		})
	}
	wait.Wait()
	t.wantOwed()
	events := t.Events(t.T)
	if len(events) != 2*recipients {
		t.Fatalf("%d events for %d recipients", len(events), recipients)
	}
	for _, id := range ids(s) {
		if got := history(events, id); !slices.Equal(got, []event.Type{event.Accepted, event.Delivered}) {
			t.Fatalf("events of %s: %q", id, got)
		}
	}
}

func testDefer(t *trial) {
	s := t.acceptTo("reader@example.com")
	id := ids(s)[0]
	want := []event.Type{event.Accepted}
	for attempt := range 4 {
		d := t.take(key(), 1)[0]
		if d.Attempts != attempt || (d.Last == nil) != (attempt == 0) {
			t.Fatalf("%d attempts, last event %v, want %d", d.Attempts, d.Last, attempt)
		}
		until := now().Add(-time.Second)
		x := deferral(d, until)
		if err := t.Store().Defer(t.Context(), []queue.Deferral{x}); err != nil {
			t.Fatalf("Defer: %v", err)
		}
		want = append(want, event.Deferred)
		for range 2 {
			e := t.list(queue.Selector{}, 10)[0]
			if e.Attempts != attempt+1 || e.Leased || e.Last == nil {
				t.Fatalf("entry after %d deferrals: %+v", attempt+1, e)
			}
			t.same("last event", e.Last, x.Event)
			t.Reopen(t.T)
		}
		t.wantHistory(id, want...)
	}
	t.settle(event.Delivered, t.take(key(), 1)...)
	t.wantHistory(id, append(want, event.Delivered)...)
	t.wantOwed()
}

func testDeferClamped(t *trial) {
	s := t.submission("reader@example.com")
	s.Message.Expires = now().Add(2 * silence)
	t.accept(s)
	t.deferUntil(now().Add(time.Hour), t.take(key(), 1)...)
	if due := t.list(queue.Selector{}, 1)[0].Due; due.After(s.Message.Expires) {
		t.Errorf("due %s, after it expires at %s", due, s.Message.Expires)
	}
	t.settle(event.Expired, t.take(key(), 1)...)
}

func testRecord(t *trial) {
	s := t.acceptTo("reader@example.com")
	id := ids(s)[0]
	t.settle(event.Delivered, t.take(key(), 1)...)
	var opens []event.Event
	for n := range 3 {
		opens = append(opens, event.Event{
			ID: "open-" + strconv.Itoa(n), Type: event.Opened, Time: now(), Message: id.Message.String(), URL: "https://example.com/?a=1&b=<2>",
		})
	}
	if err := t.Store().Record(t.Context(), opens); err != nil {
		t.Fatalf("Record: %v", err)
	}
	for range 2 {
		t.wantHistory(id, event.Accepted, event.Delivered, event.Opened, event.Opened, event.Opened)
		t.same("recorded events", t.Events(t.T)[2:], opens)
		t.Reopen(t.T)
	}
	if err := t.Store().Record(t.Context(), nil); err != nil {
		t.Errorf("Record of nothing: %v", err)
	}
}

package queuetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

func holdCases() []testCase {
	return []testCase{
		{"hold keeps back what is selected", testHold},
		{"hold reaches what is accepted later", testHoldLater},
		{"hold outlives a restart and a crash", testHoldDurable},
		{"hold leaves what is leased", testHoldLeased},
		{"held mail expires", testHoldExpires},
		{"release wakes who waits", testRelease},
		{"releases are of holds there are", testReleaseUnknown},
		{"held mail is shown as such", testHoldShown},
	}
}

func (t *trial) holdThat(x queue.Selector, reason string) queue.Hold {
	t.Helper()
	h := queue.Hold{ID: queue.NewID(now()), Selector: x, Reason: reason, Since: now()}
	if err := t.Store().Hold(t.Context(), h); err != nil {
		t.Fatalf("Hold: %v", err)
	}
	return h
}

func (t *trial) release(h queue.Hold, want int) {
	t.Helper()
	if n, err := t.Store().Release(t.Context(), h.ID); n != want || err != nil {
		t.Fatalf("Release of %+v: %d, %v; want %d", h.Selector, n, err, want)
	}
}

// offered leases all that every queue offers, and returns it.
func (t *trial) offered() []queue.RecipientID {
	t.Helper()
	var got []queue.RecipientID
	var leased []*queue.Delivery
	for _, s := range t.queues() {
		leased = append(leased, t.next(s.Key, 1000)...)
	}
	for _, d := range leased {
		got = append(got, d.ID())
	}
	t.Store().Return(leased)
	slices.SortFunc(got, compareIDs)
	return got
}

func (t *trial) wantOffered(want []queue.RecipientID) {
	t.Helper()
	want = slices.Clone(want)
	slices.SortFunc(want, compareIDs)
	if got := t.offered(); !slices.Equal(got, want) {
		t.Fatalf("offered are %d recipients, want %d:\n%s", len(got), len(want), difference(got, want))
	}
}

func testHold(t *trial) {
	all := t.variety()
	if _, err := t.Store().Retry(t.Context(), queue.Selector{}); err != nil {
		t.Fatalf("Retry: %v", err)
	}
	for n, x := range t.selectors(all[7]) {
		h := t.holdThat(x, fmt.Sprintf("reason %d", n))
		matching, others := split(all, x)
		t.wantOffered(others)
		t.wantOffered(others) // and it stays so
		t.release(h, len(matching))
		t.wantOffered(ids(all...))
	}
	for _, id := range ids(all...) {
		t.wantHistory(id, event.Accepted) // it was no attempt
	}
	for _, e := range t.list(queue.Selector{}, 1000) {
		if e.Attempts != 0 {
			t.Fatalf("%s was held, and has %d attempts", entryID(e), e.Attempts)
		}
	}
	t.cancelAll()
}

// holdSelectors are of both kinds: of whole queues, and of some recipients.
func (t *trial) holdSelectors() []queue.Selector {
	return []queue.Selector{
		{Domain: "example.com"},
		{Recipient: t.address("reader0@example.com")},
	}
}

func testHoldLater(t *trial) {
	for _, x := range t.holdSelectors() {
		h := t.holdThat(x, "later")
		s := t.acceptTo("reader0@example.com")
		other := t.acceptTo("reader0@other.example")
		t.wantOffered(ids(other))
		t.wantNone(key())
		t.release(h, 1)
		t.wantOffered(ids(s, other))
		t.cancelAll()
	}
}

func testHoldDurable(t *trial) {
	for _, x := range t.holdSelectors() {
		h := t.holdThat(x, "durable")
		s := t.acceptTo("reader0@example.com")
		t.wantNone(key())
		t.Reopen(t.T)
		t.wantNone(key())
		t.wantHolds(h)
		if t.Crash(t.T) {
			time.Sleep(silence) // what was due waits a little
			t.wantNone(key())
			t.wantHolds(h)
		}
		t.release(h, 1)
		t.settle(event.Delivered, t.take(key(), 1)...)
		t.wantHistory(ids(s)[0], event.Accepted, event.Delivered)
		t.Reopen(t.T)
		t.wantHolds()
		if t.Crash(t.T) {
			t.wantHolds()
		}
	}
}

func (t *trial) wantHolds(want ...queue.Hold) {
	t.Helper()
	got, err := t.Store().Holds(t.Context())
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("holds are %+v, %v; want %+v", got, err, want)
	}
}

func testHoldLeased(t *trial) {
	for _, x := range t.holdSelectors() {
		s := t.submission("reader0@example.com", "READER0@example.com", "Reader0@example.com")
		t.accept(s)
		leased := t.take(key(), 3)
		h := t.holdThat(x, "too late for some")
		t.wantNone(key())
		t.settle(event.Delivered, leased[0])
		t.deferUntil(now().Add(-time.Second), leased[1])
		t.Store().Return(leased[2:])
		t.wantNone(key())
		t.wantOwed(leased[1].ID(), leased[2].ID())
		t.release(h, 2)
		t.settle(event.Delivered, t.take(key(), 2)...)
	}
}

// What is held and has expired is offered, and only that.
func testHoldExpires(t *trial) {
	for _, x := range t.holdSelectors() {
		h := t.holdThat(x, "for long")
		stays := t.acceptTo("reader0@example.com")
		for _, restart := range []bool{false, true} {
			s := t.submission("reader0@example.com")
			s.Message.Expires = now().Add(3 * silence)
			t.accept(s)
			t.wantNone(key())
			if restart {
				t.Reopen(t.T)
			}
			expired := t.await(key())
			if len(expired) != 1 || expired[0].Message.ID != s.Message.ID {
				t.Fatalf("offered is %v, want the expired one", names(expired))
			}
			t.settle(event.Expired, expired...)
			t.wantNone(key())
		}
		t.wantOwed(ids(stays)...)
		t.release(h, 1)
		t.settle(event.Delivered, t.take(key(), 1)...)
	}
}

// await takes what Ready and Next offer, as a scheduler does, until there is
// something.
func (t *trial) await(key queue.Key) []*queue.Delivery {
	t.Helper()
	deadline := time.Now().Add(t.patience)
	for time.Now().Before(deadline) {
		t.ready(key)
		if got := t.next(key, 10); len(got) > 0 {
			return got
		}
	}
	t.Fatalf("nothing of %s was offered", key)
	return nil
}

func testRelease(t *trial) {
	for _, x := range t.holdSelectors() {
		h := t.holdThat(x, "a while")
		other := t.holdThat(queue.Selector{Tenant: "rival"}, "something else")
		t.acceptTo("reader0@example.com")
		t.wantNone(key())
		t.wantSilence()
		t.release(other, 0)
		t.wantNone(key())
		t.wantSilence()
		t.release(h, 1)
		t.settle(event.Delivered, t.await(key())...)
		t.wantNone(key())
	}
}

func testReleaseUnknown(t *trial) {
	if n, err := t.Store().Release(t.Context(), queue.NewID(now())); n != 0 || !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("Release of nothing: %d, %v", n, err)
	}
	first := t.holdThat(queue.Selector{Tenant: tenant, Campaign: "spring"}, "first")
	time.Sleep(2 * time.Millisecond) // ids sort by their milliseconds
	second := t.holdThat(t.holdSelectors()[1], "second")
	t.wantHolds(first, second)
	first.Reason, first.Selector = "again", queue.Selector{Domain: "two.example"}
	if err := t.Store().Hold(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	t.wantHolds(first, second)
	t.release(first, 0)
	if _, err := t.Store().Release(t.Context(), first.ID); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("Release twice: %v", err)
	}
	t.wantHolds(second)
}

func testHoldShown(t *trial) {
	t.acceptTo("a@one.example", "b@one.example", "a@two.example")
	t.holdThat(queue.Selector{Domain: "one.example"}, "all of them")
	t.holdThat(queue.Selector{Recipient: t.address("a@two.example")}, "one")
	t.wantNone(keyOf("one.example"))
	t.wantNone(keyOf("two.example"))
	want := map[mail.Domain]string{"one.example": "all of them", "two.example": "one"}
	for _, e := range t.list(queue.Selector{}, 10) {
		if e.Held != want[e.Recipient.Address.Domain()] || e.Due.After(time.Now()) {
			t.Errorf("%s is shown as %+v", entryID(e), e)
		}
	}
	status := t.queues()
	if !status[0].Held || status[1].Held {
		t.Errorf("queues are shown as %+v", status)
	}
}

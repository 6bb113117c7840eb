package queuetest

import (
	"slices"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

func leaseCases() []testCase {
	return []testCase{
		{"next gives those due longest first", testNextOrder},
		{"next keeps its limit", testNextLimit},
		{"next gives one queue's recipients", testNextQueue},
		{"a recipient is leased to one at a time", testLeaseExclusive},
		{"return is as if nothing was taken", testReturn},
		{"not before its time", testNotBefore},
	}
}

func testNextOrder(t *trial) {
	s := t.acceptTo(readers(6, "example.com")...)
	all := t.take(key(), 6)
	order := []int{3, 0, 5, 1, 4, 2}
	base := now().Add(-time.Minute)
	for i, index := range order {
		at := slices.IndexFunc(all, func(d *queue.Delivery) bool { return d.Index == index })
		t.deferUntil(base.Add(time.Duration(i)*time.Second), all[at])
	}
	var got []int
	var taken []*queue.Delivery
	for _, limit := range []int{1, 3, 2} {
		for _, d := range t.take(key(), limit) {
			got = append(got, d.Index)
			taken = append(taken, d)
			if want := base.Add(time.Duration(len(got)-1) * time.Second); !d.Due.Equal(want) {
				t.Errorf("recipient %d was due at %s, want %s", d.Index, d.Due, want)
			}
		}
	}
	if !slices.Equal(got, order) {
		t.Errorf("order %d, want %d", got, order)
	}
	t.settle(event.Delivered, taken...)
	t.wantHistory(ids(s)[0], event.Accepted, event.Deferred, event.Delivered)
}

func testNextLimit(t *trial) {
	t.acceptTo(readers(7, "example.com")...)
	var taken []*queue.Delivery
	for _, want := range []struct{ limit, got int }{{1, 1}, {4, 4}, {4, 2}, {4, 0}} {
		got := t.next(key(), want.limit)
		if len(got) != want.got {
			t.Fatalf("Next gave %d of at most %d, want %d", len(got), want.limit, want.got)
		}
		taken = append(taken, got...)
	}
	t.settle(event.Delivered, taken...)
}

func testNextQueue(t *trial) {
	mine := t.submission("a@example.com", "b@other.example", "c@example.com")
	t.accept(mine)
	for _, change := range []func(*queue.Message){
		func(m *queue.Message) { m.Tenant = "rival" },
		func(m *queue.Message) { m.Stream = "marketing" },
	} {
		s := t.submission("d@example.com")
		change(&s.Message)
		t.accept(s)
	}
	got := t.take(key(), 2)
	t.wantNone(key())
	for _, d := range got {
		if d.Message.ID != mine.Message.ID || d.Index == 1 {
			t.Errorf("%s is of another queue", d.ID())
		}
	}
	if got := t.next(keyOf("nobody.example"), 5); len(got) > 0 {
		t.Errorf("an empty queue gave %q", names(got))
	}
	t.settle(event.Delivered, got...)
}

func testLeaseExclusive(t *trial) {
	const recipients, workers = 400, 8
	s := t.acceptTo(readers(recipients, "example.com")...)
	var mu sync.Mutex
	holders := map[queue.RecipientID]int{}
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for round := 0; ; round++ {
				got, err := t.Store().Next(t.Context(), key(), 3)
				if err != nil {
					t.Errorf("Next: %v", err)
				}
				mu.Lock()
				for _, d := range got {
					if holders[d.ID()]++; holders[d.ID()] > 1 {
						t.Errorf("%s was leased twice at once", d.ID())
					}
				}
				if len(got) == 3 && round == 0 {
					for _, d := range got {
						holders[d.ID()]--
					}
					t.Store().Return(got)
					got = nil
				}
				mu.Unlock()
				if round > 0 && len(got) < 3 {
					return
				}
			}
		})
	}
	wait.Wait()
	t.wantNone(key())
	t.giveAllBack(s)
}

// giveAllBack is what a worker pool does at its end: everything leased is given
// back, and the store holds all of it.
func (t *trial) giveAllBack(s *queue.Submission) {
	t.Helper()
	var all []*queue.Delivery
	for _, e := range t.list(queue.Selector{}, 1000) {
		if !e.Leased {
			t.Fatalf("%s is not leased", entryID(e))
		}
		all = append(all, &queue.Delivery{Message: e.Message, Index: e.Index, Recipient: e.Recipient})
	}
	t.Store().Return(all)
	t.wantOwed(ids(s)...)
	t.settle(event.Delivered, t.take(key(), len(s.Recipients))...)
	t.wantOwed()
}

func testReturn(t *trial) {
	s := t.acceptTo("reader@example.com")
	id := ids(s)[0]
	first := t.take(key(), 1)[0]
	t.deferUntil(now().Add(-time.Second), first)
	second := t.take(key(), 1)[0]
	t.Store().Return([]*queue.Delivery{second})
	third := t.take(key(), 1)[0]
	if third.Attempts != 1 || !third.Due.Equal(second.Due) {
		t.Errorf("after Return: %d attempts, due %s; before: %d, %s", third.Attempts, third.Due, second.Attempts, second.Due)
	}
	t.wantHistory(id, event.Accepted, event.Deferred)
	t.settle(event.Delivered, third)
	// What is gone stays gone, whoever still has it in hand.
	t.Store().Return([]*queue.Delivery{third})
	t.wantNone(key())
	t.wantOwed()
}

func testNotBefore(t *trial) {
	s := t.submission("reader@example.com")
	s.Message.NotBefore = now().Add(time.Hour)
	t.accept(s)
	t.wantNone(key())
	t.Reopen(t.T)
	t.wantNone(key())
	t.wantSilence()
	if due := t.list(queue.Selector{}, 1)[0].Due; !due.Equal(s.Message.NotBefore) {
		t.Errorf("due %s, want %s", due, s.Message.NotBefore)
	}
}

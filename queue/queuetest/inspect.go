package queuetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

func inspectCases() []testCase {
	return []testCase{
		{"list shows what is selected", testList},
		{"list shows the state of each", testListState},
		{"list pages while mail is settled", testListStable},
		{"queues shows each queue at a glance", testQueues},
		{"stats count what is owed", testStats},
	}
}

func testList(t *trial) {
	all := t.variety()
	for _, x := range t.selectors(all[7]) {
		matching, _ := split(all, x)
		slices.SortFunc(matching, compareIDs)
		for _, limit := range []int{1, 5, 24, 1000} {
			var got []queue.RecipientID
			for _, e := range t.list(x, limit) {
				got = append(got, entryID(e))
			}
			if !slices.Equal(got, matching) {
				t.Fatalf("List(%+v) in pages of %d:\n%s", x, limit, difference(got, matching))
			}
		}
	}
	t.cancelAll()
}

func testListState(t *trial) {
	s := t.everything()
	s.Recipients = append(s.Recipients, mail.Recipient{Address: t.address("third@example.com")})
	t.accept(s)
	taken := t.take(key(), 3)
	byIndex := make([]*queue.Delivery, 3)
	for _, d := range taken {
		byIndex[d.Index] = d
	}
	until := now().Add(time.Hour)
	t.deferUntil(until, byIndex[0])
	t.Store().Return(byIndex[1:2])
	entries := t.list(queue.Selector{}, 2)
	for i, e := range entries {
		t.wantMessage("message", e.Message, &s.Message)
		t.same("recipient", e.Recipient, s.Recipients[i])
		if deferred := i == 0; (e.Attempts == 1) != deferred || (e.Last != nil) != deferred || e.Leased != (i == 2) {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
	if !entries[0].Due.Equal(until) {
		t.Errorf("due %s, want %s", entries[0].Due, until)
	}
	t.settle(event.Delivered, byIndex[2])
}

// What is owed throughout is on exactly one page, whatever goes away
// meanwhile.
func testListStable(t *trial) {
	const recipients = 300
	var all []*queue.Submission
	for n := range 3 {
		all = append(all, t.acceptTo(readers(recipients/3, fmt.Sprintf("q%d.example", n))...))
	}
	stays := ids(all[1])
	var wait sync.WaitGroup
	for _, n := range []int{0, 2} {
		wait.Go(func() {
			k := keyOf(mail.Domain(fmt.Sprintf("q%d.example", n)))
			for range recipients / 3 {
				got, err := t.Store().Next(t.Context(), k, 1)
				if err != nil || len(got) != 1 {
					t.Errorf("Next: %d, %v", len(got), err)
					return
				}
				if err := t.Store().Settle(t.Context(), []queue.Outcome{outcome(got[0], event.Delivered)}); err != nil {
					t.Errorf("Settle: %v", err)
				}
			}
		})
	}
	for range 10 {
		seen := map[queue.RecipientID]int{}
		for _, e := range t.list(queue.Selector{}, 7) {
			if seen[entryID(e)]++; seen[entryID(e)] > 1 {
				t.Errorf("%s is on two pages", entryID(e))
			}
		}
		for _, id := range stays {
			if seen[id] == 0 {
				t.Errorf("%s is on no page", id)
			}
		}
	}
	wait.Wait()
	t.wantOwed(stays...)
}

func testQueues(t *trial) {
	if got := t.queues(); len(got) != 0 {
		t.Fatalf("an empty store has queues: %+v", got)
	}
	old := t.submission("a@two.example", "b@two.example", "c@one.example")
	old.Message.Accepted = now().Add(-time.Minute)
	t.accept(old)
	young := t.submission("d@two.example")
	young.Message.NotBefore = now().Add(time.Hour)
	young.Message.Tenant = "rival"
	t.accept(young)
	recent := t.acceptTo("e@two.example")

	status := t.queues()
	wantKeys := []queue.Key{keyOf("one.example"), keyOf("two.example"), {Tenant: "rival", Stream: stream, Domain: "two.example"}}
	for i, want := range []queue.Status{
		{Waiting: 1, Oldest: old.Message.Accepted},
		{Waiting: 3, Oldest: old.Message.Accepted},
		{Waiting: 1, Oldest: young.Message.Accepted, NextDue: young.Message.NotBefore},
	} {
		want.Key = wantKeys[i]
		if i < 2 {
			want.NextDue = status[i].NextDue
			if want.NextDue.IsZero() || want.NextDue.After(time.Now()) {
				t.Errorf("%s is next due %s, but it is due", want.Key, want.NextDue)
			}
		}
		t.same("status", status[i], want)
	}
	t.queuesWhileLeased(old, recent)
}

// queuesWhileLeased wants leases counted, and the oldest to change as mail
// goes.
func (t *trial) queuesWhileLeased(old, recent *queue.Submission) {
	t.Helper()
	two := keyOf("two.example")
	taken := t.take(two, 3)
	s := t.queues()[1]
	if s.Waiting != 3 || s.Leased != 3 || !s.NextDue.IsZero() {
		t.Errorf("all leased: %+v", s)
	}
	for _, d := range taken {
		if d.Message.ID == old.Message.ID {
			t.settle(event.Delivered, d)
		} else {
			t.deferUntil(now().Add(2*time.Hour), d)
		}
	}
	s = t.queues()[1]
	if s.Waiting != 1 || s.Leased != 0 || !s.Oldest.Equal(recent.Message.Accepted) || time.Until(s.NextDue) < time.Hour {
		t.Errorf("one deferred: %+v", s)
	}
	t.settle(event.Delivered, t.take(keyOf("one.example"), 1)...)
	if got := t.queues(); len(got) != 2 {
		t.Errorf("%d queues, want 2", len(got))
	}
}

func (t *trial) queues() []queue.Status {
	t.Helper()
	all, err := t.Store().Queues(t.Context())
	if err != nil {
		t.Fatalf("Queues: %v", err)
	}
	return all
}

func (t *trial) wantStats(recipients, messages int64, queues int) {
	t.Helper()
	s := t.Store().Stats()
	if s.Recipients != recipients || s.Messages != messages || s.Queues != queues || s.Fault != nil || s.Damaged != 0 {
		t.Fatalf("stats %+v, want %d recipients of %d messages in %d queues", s, recipients, messages, queues)
	}
}

func testStats(t *trial) {
	t.wantStats(0, 0, 0)
	t.acceptTo("a@one.example", "b@two.example", "c@two.example")
	t.acceptTo("d@two.example")
	t.wantStats(4, 2, 2)
	t.settle(event.Delivered, t.take(keyOf("one.example"), 1)...)
	t.wantStats(3, 2, 1)
	t.deferUntil(now().Add(time.Hour), t.take(keyOf("two.example"), 3)...)
	t.wantStats(3, 2, 1)
	t.Reopen(t.T)
	t.wantStats(3, 2, 1)
	if n, err := t.Store().Cancel(t.Context(), queue.Selector{}, "withdrawn"); n != 3 || err != nil {
		t.Fatalf("Cancel: %d, %v", n, err)
	}
	t.wantStats(0, 0, 0)
}

package queuetest

import (
	"fmt"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

func controlCases() []testCase {
	return []testCase{
		{"cancel ends what is selected", testCancel},
		{"retry makes due what is selected", testRetry},
	}
}

// variety accepts messages that differ in every field that a Selector knows,
// none due before an hour.
func (t *trial) variety() []*queue.Submission {
	t.Helper()
	var all []*queue.Submission
	for n := range 8 {
		s := t.submission("reader@one.example", "Reader@two.example", fmt.Sprintf("reader%d@one.example", n))
		s.Message.NotBefore = now().Add(time.Hour)
		if n&1 != 0 {
			s.Message.Tenant = "rival"
		}
		if n&2 != 0 {
			s.Message.Stream = "marketing"
		}
		if n&4 != 0 {
			s.Message.Campaign = "spring"
		}
		all = append(all, t.accept(s))
	}
	return all
}

// selectors returns one for every combination of fields, made to match
// something of a submission, and some that match nothing.
func (t *trial) selectors(s *queue.Submission) []queue.Selector {
	var all []queue.Selector
	for bits := range 1 << 6 {
		var x queue.Selector
		if bits&1 != 0 {
			x.Message = s.Message.ID
		}
		if bits&2 != 0 {
			x.Recipient = t.address("READER@two.example")
		}
		if bits&4 != 0 {
			x.Tenant = s.Message.Tenant
		}
		if bits&8 != 0 {
			x.Stream = s.Message.Stream
		}
		if bits&16 != 0 {
			x.Campaign = s.Message.Campaign
		}
		if bits&32 != 0 {
			x.Domain = "two.example"
		}
		all = append(all, x)
	}
	return append(all,
		queue.Selector{Message: queue.NewID(now())}, queue.Selector{Tenant: "nobody"}, queue.Selector{Domain: "nobody.example"},
		queue.Selector{Recipient: t.address("reader@three.example")}, queue.Selector{Campaign: "autumn"})
}

// split returns the recipients that a selector matches, and the others.
func split(all []*queue.Submission, x queue.Selector) (matching, others []queue.RecipientID) {
	for _, s := range all {
		for i, r := range s.Recipients {
			id := queue.RecipientID{Message: s.Message.ID, Index: i}
			if x.Match(&s.Message, r.Address) {
				matching = append(matching, id)
			} else {
				others = append(others, id)
			}
		}
	}
	return matching, others
}

func testCancel(t *trial) {
	reference := t.variety()
	for n, x := range t.selectors(reference[7]) {
		t.cancelAll()
		all := t.variety()
		if !x.Message.IsZero() && x.Message == reference[7].Message.ID {
			x.Message = all[7].Message.ID
		}
		matching, others := split(all, x)
		reason := fmt.Sprintf("withdrawn <%d>", n)
		got, err := t.Store().Cancel(t.Context(), x, reason)
		if got != len(matching) || err != nil {
			t.Fatalf("Cancel(%+v): %d, %v; want %d", x, got, err, len(matching))
		}
		t.wantOwed(others...)
		t.wantDropped(matching, reason)
	}
	t.Reopen(t.T)
	t.cancelAll()
	t.wantOwed()
}

func (t *trial) cancelAll() {
	t.Helper()
	if _, err := t.Store().Cancel(t.Context(), queue.Selector{}, "the test begins anew"); err != nil {
		t.Fatalf("Cancel: %v", err)
	}
}

// wantDropped wants the last events to be these recipients', with the reason.
func (t *trial) wantDropped(want []queue.RecipientID, reason string) {
	t.Helper()
	events := t.Events(t.T)
	events = events[len(events)-len(want):]
	for _, id := range want {
		if got := history(events, id); len(got) != 1 || got[0] != event.Dropped {
			t.Fatalf("events of %s, cancelled: %q", id, got)
		}
	}
	for _, e := range events {
		if e.Reason != reason || e.Recipient == "" || e.Tenant == "" || e.Stream == "" || e.ID == "" || e.Time.IsZero() {
			t.Fatalf("dropped event: %+v", e)
		}
	}
}

func testRetry(t *trial) {
	reference := t.variety()
	for _, x := range t.selectors(reference[7]) {
		t.cancelAll()
		all := t.variety()
		if !x.Message.IsZero() && x.Message == reference[7].Message.ID {
			x.Message = all[7].Message.ID
		}
		matching, others := split(all, x)
		got, err := t.Store().Retry(t.Context(), x)
		if got != len(matching) || err != nil {
			t.Fatalf("Retry(%+v): %d, %v; want %d", x, got, err, len(matching))
		}
		t.wantDue(matching, len(others))
	}
	t.Reopen(t.T)
	t.cancelAll()
}

// wantDue wants these recipients due and no others.
func (t *trial) wantDue(want []queue.RecipientID, others int) {
	t.Helper()
	due := map[queue.RecipientID]bool{}
	at := time.Now()
	for _, e := range t.list(queue.Selector{}, 1000) {
		if !e.Due.After(at) {
			due[entryID(e)] = true
		} else {
			others--
		}
	}
	for _, id := range want {
		if !due[id] {
			t.Fatalf("%s is not due after Retry", id)
		}
	}
	if len(due) != len(want) || others != 0 {
		t.Fatalf("%d are due, want %d; %d others are amiss", len(due), len(want), others)
	}
	statuses, err := t.Store().Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var leased []*queue.Delivery
	for _, s := range statuses {
		leased = append(leased, t.next(s.Key, 1000)...)
	}
	if len(leased) != len(want) {
		t.Fatalf("Next gave %d, want %d", len(leased), len(want))
	}
	t.Store().Return(leased)
}

package queuetest

import (
	"context"
	"fmt"
	"slices"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

func scaleCases() []testCase {
	return []testCase{
		{"10,000 recipients of one message", testManyRecipients},
		{"thousands of queues", testManyQueues},
		{"a backlog hides nobody else's mail", testBacklogHidesNobody},
	}
}

func testManyRecipients(t *trial) {
	const recipients = 10000
	s := t.acceptTo(readers(recipients, "example.com")...)
	t.wantStats(recipients, 1, 1)
	seen := map[int]bool{}
	take := func(n int) {
		for n > 0 {
			got := t.take(key(), min(n, 1000))
			for _, d := range got {
				if want := s.Recipients[d.Index]; d.Recipient != want || seen[d.Index] {
					t.Fatalf("recipient %d came as %v, or twice", d.Index, d.Recipient)
				}
				seen[d.Index] = true
			}
			t.settle(event.Delivered, got...)
			n -= len(got)
		}
	}
	take(recipients / 2)
	t.Reopen(t.T)
	take(recipients / 2)
	t.wantStats(0, 0, 0)
	if got := len(t.Events(t.T)); got != 2*recipients {
		t.Errorf("%d events, want %d", got, 2*recipients)
	}
}

func testManyQueues(t *trial) {
	const queues = 3000
	recipients := make([]string, queues)
	for n := range recipients {
		recipients[n] = reader(n, fmt.Sprintf("domain%d.example", n))
	}
	s := t.acceptTo(recipients...)
	t.Reopen(t.T)
	if got := len(t.queues()); got != queues {
		t.Fatalf("%d queues, want %d", got, queues)
	}
	ctx, cancel := context.WithTimeout(t.Context(), t.patience)
	defer cancel()
	var taken []*queue.Delivery
	for seen := map[queue.Key]bool{}; len(seen) < queues; {
		keys, err := t.Store().Ready(ctx)
		if err != nil {
			t.Fatalf("Ready reported %d of %d queues: %v", len(seen), queues, err)
		}
		for _, k := range keys {
			if seen[k] {
				t.Fatalf("Ready reported %s twice", k)
			}
			seen[k] = true
			taken = append(taken, t.next(k, 2)...)
		}
	}
	if len(taken) != len(s.Recipients) {
		t.Fatalf("%d taken, want %d", len(taken), len(s.Recipients))
	}
	t.settle(event.Delivered, taken...)
	t.wantStats(0, 0, 0)
}

// What one tenant has waiting stands before nobody else's first message: its
// queue is reported, and offers it, before anything of the backlog is taken.
func testBacklogHidesNobody(t *trial) {
	const recipients = 20000
	t.acceptTo(readers(recipients, "example.com")...)
	t.Reopen(t.T)
	guest := t.submission("reader@example.com")
	guest.Message.Tenant = "rival"
	t.accept(guest)
	key := queue.Key{Tenant: "rival", Stream: stream, Domain: "example.com"}
	ctx, cancel := context.WithTimeout(t.Context(), t.patience)
	defer cancel()
	for reported := false; !reported; {
		keys, err := t.Store().Ready(ctx)
		if err != nil {
			t.Fatalf("Ready did not report %s: %v", key, err)
		}
		reported = slices.Contains(keys, key)
	}
	got := t.next(key, 10)
	if len(got) != 1 || got[0].Message.ID != guest.Message.ID {
		t.Fatalf("Next gave %v, want the one message of %s", names(got), key)
	}
	t.settle(event.Delivered, got...)
	t.wantStats(recipients, 1, 1)
	t.cancelAll()
}

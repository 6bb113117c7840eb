package boltqueue

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// TestFirstMessageCostsNoLookAtABacklog proves that a tenant's first message is
// offered for the same work whatever another tenant has waiting, in memory and
// on disk, for the same domain and for others. Work is counted in allocations,
// as each row that is read makes some.
func TestFirstMessageCostsNoLookAtABacklog(t *testing.T) {
	sizes := []int{1000, 100_000}
	if testing.Short() {
		sizes[1] = 20_000
	}
	var costs []float64
	for _, size := range sizes {
		t.Run(strconv.Itoa(size), func(t *testing.T) { costs = append(costs, firstMessage(t, size)) })
	}
	// a round looks at the queues that have become due, and at one recipient
	if len(costs) != 2 || costs[1] > costs[0]+50 || costs[1] > 500 {
		t.Errorf("%.0f allocations over backlogs of %d", costs, sizes)
	}
}

// firstMessage returns how many allocations it costs to accept, report and
// offer a message beside a backlog.
func firstMessage(t *testing.T, backlog int) float64 {
	h := newTestHarness(t, func(o *Options) {
		*o = Options{Dir: o.Dir, CheckpointInterval: never, RestartDelay: -1, EventBatch: 1000}
	})
	h.backlog(backlog)
	h.reopen() // nothing of it is in memory
	h.readyKeys()
	h.lease(128) // and it is being delivered
	rounds := 0
	return testing.AllocsPerRun(20, func() {
		s := submission(t, "guest@example.com")
		s.Message.Tenant = "guest" + strconv.Itoa(rounds)
		rounds++
		if err := h.store.Accept(context.Background(), s); err != nil {
			t.Fatal(err)
		}
		key := queue.Key{Tenant: s.Message.Tenant, Stream: s.Message.Stream, Domain: "example.com"}
		if keys := h.readyKeys(); !slices.Contains(keys, key) {
			t.Fatalf("Ready reported %v", keys)
		}
		got, err := h.store.Next(context.Background(), key, 10)
		if err != nil || len(got) != 1 {
			t.Fatalf("Next gave %d, %v", len(got), err)
		}
		h.settle(got...)
	})
}

// backlog accepts a campaign to a few domains, example.com among them.
func (h *harness) backlog(recipients int) {
	h.t.Helper()
	const perMessage = 1000
	for first := 0; first < recipients; first += perMessage {
		s := submission(h.t)
		for i := first; i < first+perMessage; i++ {
			domain := []string{"example.com", "example.net", "example.org"}[i%3]
			s.Recipients = append(s.Recipients, mail.Recipient{Address: address(h.t, fmt.Sprintf("reader%d@%s", i, domain))})
		}
		if err := h.store.Accept(context.Background(), s); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *harness) readyKeys() []queue.Key {
	h.t.Helper()
	keys, err := h.store.Ready(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	return keys
}

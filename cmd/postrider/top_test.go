package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// TestTopRates proves that rates are of what lies between two samples, and that
// the longest queues come first.
func TestTopRates(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	last := sample{
		at: at, totals: api.Totals{Accepted: 100, Outcomes: map[string]int64{"delivered": 10}},
		queues: api.Queues{Queues: []api.Queue{{Domain: "a.example", Waiting: 10}, {Domain: "gone.example", Waiting: 5}}},
	}
	next := sample{
		at: at.Add(2 * time.Second), totals: api.Totals{Accepted: 110, Outcomes: map[string]int64{"delivered": 14, "deferred": 2, "bounced": 1}},
		queues: api.Queues{Recipients: 20, Messages: 3, Queues: []api.Queue{
			{Domain: "a.example", Waiting: 4, Oldest: at}, {Domain: "new.example", Waiting: 16, Held: true, Oldest: at.Add(-time.Hour)},
		}},
	}
	v := compareSamples(last, next, 1)
	if v.Accepted != 5 || v.Delivered != 2 || v.Deferred != 1 || v.Bounced != 0.5 || v.Queues != 2 || v.Held != 1 || !v.Oldest.Equal(at.Add(-time.Hour)) {
		t.Errorf("%+v", v)
	}
	if len(v.Top) != 1 || v.Top[0].Domain != "new.example" || v.Top[0].Change != 8 {
		t.Errorf("top %+v", v.Top)
	}
	if v := compareSamples(last, next, 9); v.Top[1].Change != -3 {
		t.Errorf("change %+v", v.Top[1])
	}
	// A daemon that was restarted counts anew: no rate is below zero.
	if v := compareSamples(next, last, 9); v.Accepted != 0 || v.Delivered != 0 {
		t.Errorf("%+v", v)
	}
}

// TestTopEnds proves that the view goes on until it is ended, and that this is
// no failure.
func TestTopEnds(t *testing.T) {
	d := newDaemon(t, answers())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := &stopping{after: 3, stop: cancel}
	var errors bytes.Buffer
	if status := run(ctx, []string{"--socket", d.socket, "--json", "queue", "top", "--interval", "1ms"}, nil, out, &errors); status != 0 {
		t.Fatalf("%d %s", status, errors.String())
	}
	if lines := strings.Count(out.String(), "\n"); lines < 3 {
		t.Errorf("%d lines", lines)
	}
}

// stopping calls stop after so many writes.
type stopping struct {
	bytes.Buffer
	after int
	stop  func()
}

func (s *stopping) Write(b []byte) (int, error) {
	if s.after--; s.after == 0 {
		s.stop()
	}
	return s.Buffer.Write(b)
}

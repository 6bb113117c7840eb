package queuetest

import (
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

func usageCases() []testCase {
	return []testCase{{"usage counts messages once", testUsage}}
}

func (t *trial) wantUsage(messages, bytes int64) {
	t.Helper()
	if got := t.Store().Usage(tenant); got != (queue.Usage{Messages: messages, Bytes: bytes}) {
		t.Fatalf("usage %+v, want %d messages of %d octets", got, messages, bytes)
	}
}

func testUsage(t *trial) {
	t.wantUsage(0, 0)
	first := t.acceptTo("a@one.example", "b@two.example")
	size := first.Message.Size
	rival := t.submission("a@three.example")
	rival.Message.Tenant = "rival"
	t.accept(rival)
	t.acceptTo("c@one.example", "d@one.example")
	t.wantUsage(2, 2*size)
	t.settle(event.Delivered, t.take(keyOf("two.example"), 1)...)
	t.wantUsage(2, 2*size)
	t.Reopen(t.T)
	t.wantUsage(2, 2*size)
	for _, d := range t.take(keyOf("one.example"), 3) {
		if d.Message.ID == first.Message.ID {
			t.settle(event.Bounced, d)
		} else {
			t.deferUntil(now().Add(time.Hour), d)
		}
	}
	t.wantUsage(1, size)
	if t.Crash(t.T) {
		t.wantUsage(1, size)
	}
	if _, err := t.Store().Cancel(t.Context(), queue.Selector{Tenant: tenant}, "withdrawn"); err != nil {
		t.Fatal(err)
	}
	t.wantUsage(0, 0)
	t.Reopen(t.T)
	t.wantUsage(0, 0)
	if got := t.Store().Usage("rival"); got.Messages != 1 || got.Bytes != rival.Message.Size {
		t.Fatalf("usage of the other tenant: %+v", got)
	}
	t.cancelAll()
}

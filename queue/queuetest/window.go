package queuetest

import (
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

// Windowed is a Harness whose store can be told when queues may be offered.
// The cases about that are left out for others.
type Windowed interface {
	Harness
	// SetOpens sets the function that the store asks when a queue may next be
	// offered, as of now; zero for at once. The store holds nothing yet.
	SetOpens(t *testing.T, opens func(key queue.Key, now time.Time) time.Time)
}

func windowCases() []testCase {
	return []testCase{
		{"closed queue is offered when it opens", testWindow},
		{"closed queue lets mail expire", testWindowExpires},
	}
}

// closeUntil closes the queue of example.com until a time.
func (t *trial) closeUntil(opens time.Time) {
	t.Helper()
	h, ok := t.Harness.(Windowed)
	if !ok {
		t.Skip("this store's harness has no windows")
	}
	h.SetOpens(t.T, func(k queue.Key, _ time.Time) time.Time {
		if k != key() {
			return time.Time{}
		}
		return opens
	})
}

func testWindow(t *trial) {
	opens := now().Add(6 * silence)
	t.closeUntil(opens)
	s := t.acceptTo("reader@example.com", "reader@other.example")
	t.ready(keyOf("other.example"))
	t.wantNone(key())
	t.settle(event.Delivered, t.take(keyOf("other.example"), 1)...)
	t.Reopen(t.T)
	if status := t.queues()[0]; time.Now().Before(opens) && (!status.Opens.Equal(opens) || status.Held) {
		t.Errorf("shown as %+v, want it to open %s", status, opens)
	}
	t.settle(event.Delivered, t.await(key())...)
	if time.Now().Before(opens) {
		t.Error("it was offered too early")
	}
	t.wantHistory(ids(s)[0], event.Accepted, event.Delivered)
	if status := t.queues(); len(status) != 0 {
		t.Errorf("queues %+v", status)
	}
}

func testWindowExpires(t *trial) {
	t.closeUntil(now().Add(time.Hour))
	stays := t.acceptTo("reader@example.com")
	s := t.submission("reader@example.com")
	s.Message.Expires = now().Add(2 * silence)
	t.accept(s)
	t.wantNone(key())
	expired := t.await(key())
	if len(expired) != 1 || expired[0].Message.ID != s.Message.ID {
		t.Fatalf("offered is %v, want the expired one", names(expired))
	}
	t.settle(event.Expired, expired...)
	t.wantNone(key())
	t.wantOwed(ids(stays)...)
}

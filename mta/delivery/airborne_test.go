package delivery

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// TestGateOvertakesWhatIsPrepared: a message that was prepared while the one
// before was sent does not begin once the gate has come to say no; one under way
// is waited for.
func TestGateOvertakesWhatIsPrepared(t *testing.T) {
	leaver, err := mail.ParseAddress("leaver@d.example")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench()
		b.shape.Default.Connections = 1
		b.world.window, b.world.sendTime = 1, time.Second
		var leaving atomic.Bool
		b.stages.admit = func(d *queue.Delivery) (Verdict, error) {
			return Verdict{Drop: leaving.Load() && d.Recipient.Address == leaver}, nil
		}
		for _, who := range []string{"leaver@d.example", "first@d.example", "leaver@d.example", "leaver@d.example", "last@d.example"} {
			b.store.accept(letter{tenant: "shop", body: "x"}, who)
		}
		b.start(t)
		// The first message to the leaver comes under way, and the next is prepared.
		time.Sleep(500 * time.Millisecond)
		leaving.Store(true)
		b.stages.revision.Add(1)
		impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := b.engine.AwaitLanding(impatient, "shop", leaver); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("did not wait for what was under way: %v", err)
		}
		if err := b.engine.AwaitLanding(t.Context(), "shop", leaver); err != nil {
			t.Error(err)
		}
		answered := time.Now()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantCounts(t, b, map[event.Type]int{event.Delivered: 3, event.Dropped: 2})
		for _, s := range b.world.sent {
			if s.t.Recipients[0].Address == leaver && s.at.After(answered) {
				t.Errorf("sent at %v, answered at %v", s.at, answered)
			}
		}
		if len(b.engine.airborne.under) != 0 {
			t.Errorf("still under way: %v", b.engine.airborne.under)
		}
		b.stop()
	})
}

// TestGateOvertakesOneOfMany: of recipients that share a transaction the one who
// left is taken out, and the others get theirs.
func TestGateOvertakesOneOfMany(t *testing.T) {
	run(t, 10*time.Second, func(b *workbench) {
		b.shape.Default.Connections = 1
		b.world.window, b.world.sendTime = 1, time.Second
		b.stages.shared = true
		var leaving atomic.Bool
		b.stages.admit = func(d *queue.Delivery) (Verdict, error) {
			return Verdict{Drop: leaving.Load() && d.Recipient.Address.String() == "b@d.example"}, nil
		}
		b.store.accept(letter{body: "x"}, "first@d.example")
		b.store.accept(letter{body: "x"}, "a@d.example", "b@d.example", "c@d.example")
		time.AfterFunc(500*time.Millisecond, func() {
			leaving.Store(true)
			b.stages.revision.Add(1)
		})
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 3, event.Dropped: 1})
		if last := b.world.sent[len(b.world.sent)-1]; len(last.t.Recipients) != 2 || last.t.Recipients[1].Address.String() != "c@d.example" {
			t.Errorf("%v", last.t.Recipients)
		}
	})
}

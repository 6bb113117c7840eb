package shape

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// world is many sites that share the connections of one engine. A dead one
// does not answer for half a minute.
type world struct {
	shaper    *Shaper
	free      chan struct{}
	delivered atomic.Int64
	attempts  atomic.Int64
}

func (w *world) serve(to Target, dead bool, until time.Time) {
	for time.Now().Before(until) {
		if !w.connection(to, dead, until) {
			time.Sleep(2 * time.Second)
		}
	}
}

// connection serves one site, and reports whether it had its turn.
func (w *world) connection(to Target, dead bool, until time.Time) bool {
	slot, wait := w.shaper.Connect(time.Now(), to)
	if slot == nil {
		time.Sleep(max(wait, 2*time.Second))
		return true
	}
	defer func() { slot.Close(time.Now()) }()
	select {
	case <-w.free:
	default:
		return false
	}
	defer func() { w.free <- struct{}{} }()
	if dead {
		w.attempts.Add(1)
		time.Sleep(30 * time.Second)
		slot.Fail(time.Now(), "timed out", mail.Reply{})
		return true
	}
	time.Sleep(100 * time.Millisecond)
	slot.Establish()
	for range 10 {
		slot.Take(time.Now())
		time.Sleep(2 * time.Second)
		slot.Report(time.Now(), Outcome{Reply: taken()})
		slot.Succeed()
		w.delivered.Add(1)
	}
	return true
}

// deliver runs living and dead sites for a time, and returns what the living
// got, and how often each dead one was tried.
func deliver(t *testing.T, living, dead int, length time.Duration) (delivered, tries float64) {
	t.Helper()
	const connections = 40
	synctest.Test(t, func(t *testing.T) {
		w := &world{shaper: New(Options{MaxProbes: connections / 20}), free: make(chan struct{}, connections)}
		for range connections {
			w.free <- struct{}{}
		}
		until := time.Now().Add(length)
		var group sync.WaitGroup
		for i := range living + dead {
			for range 2 {
				group.Go(func() { w.serve(target(fmt.Sprint("site", i)), i >= living, until) })
			}
		}
		group.Wait()
		delivered, tries = float64(w.delivered.Load()), float64(w.attempts.Load())/float64(max(dead, 1))
	})
	return delivered, tries
}

// TestHalfTheWorldDown: the living get what they get when all live, and the
// dead are probed now and then.
func TestHalfTheWorldDown(t *testing.T) {
	const length = 30 * time.Minute
	whole, _ := deliver(t, 30, 0, length)
	half, tries := deliver(t, 30, 30, length)
	t.Logf("%.0f delivered, %.0f beside as many dead sites, each tried %.1f times", whole, half, tries)
	if half < 0.95*whole {
		t.Errorf("%.0f of %.0f", half, whole)
	}
	if tries < 0.5 || tries > 10 {
		t.Errorf("a dead site is tried %.1f times in %v", tries, length)
	}
}

// TestSilenceIsProbed: a provider that refuses everything is asked less and
// less, and found again when it comes back.
func TestSilenceIsProbed(t *testing.T) {
	b := &bucket{rate: 0, refusal: slowDown(), latency: 100 * time.Millisecond}
	synctest.Test(t, func(t *testing.T) {
		l := &load{
			shaper: New(Options{Providers: shipped(t), Categorize: categorizer()}), to: target("d"), receiver: b,
			workers: 10, perConnection: 100, dial: 50 * time.Millisecond,
		}
		l.run(time.Now().Add(6 * time.Hour))
		if l.accepted > 0 || l.refused < 20 || l.refused > 200 {
			t.Errorf("%d refused in six hours", l.refused)
		}
		b.rate, b.size = 10, 10
		l.refused = 0
		l.run(time.Now().Add(time.Hour))
		if l.accepted < 10*1800 {
			t.Errorf("%d accepted and %d refused in the hour after", l.accepted, l.refused)
		}
	})
}

package boltqueue

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/queuetest"
)

var _ queuetest.Windowed = (*harness)(nil)

// SetOpens implements queuetest.Windowed.
func (h *harness) SetOpens(t *testing.T, opens func(queue.Key, time.Time) time.Time) {
	h.options.Opens = opens
	h.Reopen(t)
}

// gateTrial is a store whose clock and windows the test sets.
type gateTrial struct {
	*testing.T
	dir   string
	store *Store
	ahead atomic.Int64
	opens atomic.Pointer[time.Time]
}

func newGateTrial(t *testing.T) *gateTrial {
	g := &gateTrial{T: t, dir: t.TempDir()}
	g.opens.Store(&time.Time{})
	g.open()
	t.Cleanup(func() { g.must(g.store.Close()) })
	return g
}

func (g *gateTrial) now() time.Time { return time.Now().Add(time.Duration(g.ahead.Load())) }

func (g *gateTrial) open() {
	var err error
	g.store, err = Open(Options{
		Dir: g.dir, RestartDelay: -1, MinFree: -1, CheckpointInterval: time.Hour, Now: g.now,
		Opens: func(queue.Key, time.Time) time.Time { return *g.opens.Load() },
	})
	g.must(err)
}

func (g *gateTrial) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

func (g *gateTrial) accept(n int, expires time.Duration) *queue.Submission {
	g.Helper()
	at := g.now()
	s := &queue.Submission{Message: queue.Message{
		ID: queue.NewID(at), Tenant: "acme", Stream: "marketing", Campaign: "spring", Accepted: at, Expires: at.Add(expires),
	}}
	for i := range n {
		s.Recipients = append(s.Recipients, recipient(g.T, fmt.Sprintf("reader%d@example.com", i)))
	}
	g.must(g.store.Accept(g.Context(), s))
	return s
}

func gateKey() queue.Key {
	return queue.Key{Tenant: "acme", Stream: "marketing", Domain: "example.com"}
}

// next looks whether Ready would report the queue, and asks for all there is.
func (g *gateTrial) next() []*queue.Delivery {
	g.Helper()
	keys, _, _, err := g.store.readyNow()
	g.must(err)
	var all []*queue.Delivery
	for len(keys) > 0 {
		got, err := g.store.Next(g.Context(), gateKey(), 100)
		g.must(err)
		all = append(all, got...)
		if len(got) < 100 {
			return all
		}
	}
	return all
}

func (g *gateTrial) want(n int) []*queue.Delivery {
	g.Helper()
	got := g.next()
	if len(got) != n {
		g.Fatalf("%d are offered, want %d", len(got), n)
	}
	g.must(g.store.Check())
	return got
}

func (g *gateTrial) settle(all []*queue.Delivery) {
	g.Helper()
	for _, d := range all {
		g.must(g.store.Settle(g.Context(), []queue.Outcome{{Recipient: d.ID(), Event: d.Event(event.Delivered, g.now())}}))
	}
}

func (g *gateTrial) hold(x queue.Selector) queue.Hold {
	g.Helper()
	h := queue.Hold{ID: queue.NewID(g.now()), Selector: x, Reason: "test", Since: g.now()}
	g.must(g.store.Hold(g.Context(), h))
	return h
}

func (g *gateTrial) checkpoint() {
	g.Helper()
	g.must(g.store.checkpoint(false))
}

func (g *gateTrial) close(opens time.Duration) {
	at := g.now().Add(opens)
	g.opens.Store(&at)
}

func (g *gateTrial) pass(d time.Duration) { g.ahead.Add(int64(d)) }

func TestWindow(t *testing.T) {
	g := newGateTrial(t)
	g.accept(3, 24*time.Hour)
	g.close(time.Hour)
	g.want(0)
	statuses, err := g.store.Queues(t.Context())
	if g.must(err); !statuses[0].Opens.Equal(*g.opens.Load()) || statuses[0].Held {
		t.Errorf("status %+v", statuses[0])
	}
	g.pass(59 * time.Minute)
	g.want(0)
	g.pass(2 * time.Minute)
	g.settle(g.want(3))
}

// A window that closes while mail waits in memory or on disk lets nothing out,
// and one that is opened by other means is seen at the next look.
func TestWindowIsLookedAtAgain(t *testing.T) {
	g := newGateTrial(t)
	g.accept(3, 24*time.Hour)
	g.store.Return(g.want(3))
	g.close(10 * time.Hour)
	g.checkpoint()
	g.want(0)
	g.opens.Store(&time.Time{})
	g.pass(longestSleep)
	g.settle(g.want(3))
}

func TestClockJumps(t *testing.T) {
	g := newGateTrial(t)
	g.close(time.Hour)
	g.accept(2, 100*time.Hour)
	g.want(0)
	g.pass(-48 * time.Hour) // what was due is not due any more
	g.want(0)
	g.pass(48*time.Hour + 61*time.Minute)
	first := g.want(2)
	g.pass(-30 * time.Minute)
	g.want(0) // nobody has them twice
	g.store.Return(first[1:])
	g.settle(first[:1])
	g.opens.Store(&time.Time{})
	g.pass(-10 * time.Minute)
	g.settle(g.want(1))
	if got := g.store.Usage("acme"); got != (queue.Usage{}) {
		t.Errorf("usage %+v", got)
	}
}

// A queue that was shut until late opens when the clock is put back, as soon
// as its window does by the new time.
func TestClockGoesBackWhileShut(t *testing.T) {
	g := newGateTrial(t)
	g.accept(1, 100*time.Hour)
	g.pass(50 * time.Hour)
	g.close(time.Minute)
	g.want(0)
	g.pass(-49 * time.Hour)
	g.opens.Store(&time.Time{})
	g.settle(g.want(1))
}

func TestExpiryWhileShut(t *testing.T) {
	g := newGateTrial(t)
	h := g.hold(queue.Selector{Tenant: "acme"})
	g.accept(5, 100*time.Hour)
	g.accept(3*sweepBatch, time.Hour)
	g.accept(4, 2*time.Hour)
	g.checkpoint()
	g.want(0)
	for range 2 { // the second time nothing is known from before
		g.pass(61 * time.Minute)
		total := 0
		for range 100 {
			got := g.next()
			total += len(got)
			for _, d := range got {
				if !d.Message.Expired(g.now()) || !d.Due.Equal(d.Message.Expires.Truncate(0).UTC()) {
					t.Fatalf("%s is offered, due %s, expires %s", d.ID(), d.Due, d.Message.Expires)
				}
			}
			g.settle(got[:min(len(got), 1)])
			g.store.Return(got[min(len(got), 1):])
			if len(got) > 0 {
				n, err := g.store.Cancel(t.Context(), queue.Selector{Message: got[0].Message.ID}, "settled for speed")
				g.must(err)
				total += n + 1 - len(got)
			}
			g.pass(2 * time.Second)
		}
		if total != 3*sweepBatch && total != 4 {
			t.Fatalf("%d had expired", total)
		}
		g.must(g.store.Check())
		g.must(g.store.Close())
		g.open()
	}
	g.want(0)
	n, err := g.store.Release(t.Context(), h.ID)
	if g.must(err); n != 5 {
		t.Errorf("released %d", n)
	}
	g.settle(g.want(5))
}

// A campaign that is held leaves memory with the next checkpoint, keeps its
// due times, and comes back in order.
func TestSetAside(t *testing.T) {
	g := newGateTrial(t)
	h := g.hold(queue.Selector{Campaign: "spring"})
	s := g.accept(3*asideBatch, 100*time.Hour)
	for range 4 {
		g.want(0)
	}
	if wake := g.store.schedule.earliest(); time.Duration(wake-nanoseconds(g.now())) < 4*time.Minute {
		t.Fatalf("wakes in %s", time.Duration(wake-nanoseconds(g.now())))
	}
	if journal := g.store.journal.Stats().Records; journal != 2 {
		t.Errorf("%d records were written, want those of the hold and the message", journal)
	}
	g.checkpoint()
	if n := len(g.store.entries); n != 0 {
		t.Errorf("%d held recipients stay in memory", n)
	}
	page, _, err := g.store.List(t.Context(), queue.Selector{}, "", 10)
	if g.must(err); !page[0].Due.Equal(s.Message.Accepted) || page[0].Held != "test" {
		t.Errorf("listed as %+v", page[0])
	}
	g.pass(7 * time.Minute) // they are looked at again
	for range 4 {
		g.want(0)
	}
	g.must(g.store.Close())
	g.open()
	g.want(0)
	n, err := g.store.Release(t.Context(), h.ID)
	if g.must(err); n != 3*asideBatch {
		t.Errorf("released %d", n)
	}
	got := g.want(3 * asideBatch)
	if !got[0].Due.Equal(s.Message.Accepted) {
		t.Errorf("due %s, want %s", got[0].Due, s.Message.Accepted)
	}
	g.store.Return(got)
}

// A release whose process ended before all were taken up is finished by the
// next.
func TestReleaseIsFinished(t *testing.T) {
	g := newGateTrial(t)
	h := g.hold(queue.Selector{Campaign: "spring"})
	g.accept(10, 100*time.Hour)
	g.want(0)
	g.checkpoint()
	r := newRelease(h.Selector)
	g.store.mu.Lock()
	g.store.applyHold(&holdChange{hold: h, released: true})
	g.store.holds.releases = append(g.store.holds.releases, r)
	g.store.mu.Unlock()
	g.want(0) // set aside, and not taken up yet
	g.checkpoint()
	g.must(g.store.Close())
	g.open()
	g.awaitReleases()
	g.settle(g.want(10))
	g.checkpoint()
	g.must(g.store.Close())
	g.open()
	g.awaitReleases()
}

// awaitReleases waits until all that releases concern has been taken up.
func (g *gateTrial) awaitReleases() {
	g.Helper()
	g.store.mu.Lock()
	all := slices.Clone(g.store.holds.releases)
	g.store.mu.Unlock()
	for _, r := range all {
		<-r.done
	}
}

// A hold that takes the place of another lets out what only that one held.
func TestHoldIsReplaced(t *testing.T) {
	g := newGateTrial(t)
	h := g.hold(queue.Selector{Recipient: address(t, "reader0@example.com")})
	g.accept(2, 100*time.Hour)
	g.store.Return(g.want(1))
	h.Selector.Recipient = address(t, "reader1@example.com")
	g.must(g.store.Hold(t.Context(), h))
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if got := g.next(); len(got) == 1 && got[0].Index == 0 {
			g.settle(got)
			return
		}
	}
	t.Error("the recipient is still set aside")
}

// What is held for days is looked at now and then, not over and over.
func TestHeldMailIsSeldomLookedAt(t *testing.T) {
	g := newGateTrial(t)
	g.hold(queue.Selector{Campaign: "spring"})
	g.accept(1, 1000*time.Hour)
	g.want(0)
	looks := 0
	for range 3 * 24 * 60 {
		g.pass(time.Minute)
		before := g.store.schedule.earliest()
		g.want(0)
		if g.store.schedule.earliest() != before {
			looks++
		}
	}
	if looks < 5 || looks > 25 {
		t.Errorf("held for three days, it was looked at %d times", looks)
	}
}

func recipient(t *testing.T, text string) mail.Recipient {
	t.Helper()
	a, err := mail.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return mail.Recipient{Address: a}
}

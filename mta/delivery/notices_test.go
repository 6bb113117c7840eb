package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/dsn"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/queue"
)

// notifier notes what it is told, and what was settled before it was told.
type notifier struct {
	store  *memory
	wanted func(d *queue.Delivery, action bounce.Action) bool
	// fail, if set, is asked before anything is noted.
	fail func() error

	mu    sync.Mutex
	calls [][]dsn.Outcome
	early []string
}

func (n *notifier) Wanted(d *queue.Delivery, action bounce.Action) bool {
	return n.wanted == nil || n.wanted(d, action)
}

func (n *notifier) Notify(_ context.Context, m *queue.Message, body []byte, outcomes []dsn.Outcome) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		if err := n.fail(); err != nil {
			return err
		}
	}
	if string(body) != "the body" {
		n.early = append(n.early, fmt.Sprintf("told with the body %q", body))
	}
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	for _, e := range n.store.events {
		about := func(o dsn.Outcome) bool { return o.Recipient.Address.String() == e.Recipient }
		if e.Message == m.ID.String() && e.Type != event.Deferred && slices.ContainsFunc(outcomes, about) {
			n.early = append(n.early, "settled before it was told: "+e.Recipient)
		}
	}
	n.calls = append(n.calls, slices.Clone(outcomes))
	return nil
}

// told are all outcomes, by action.
func (n *notifier) told(t *testing.T) map[bounce.Action][]dsn.Outcome {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, wrong := range n.early {
		t.Error(wrong)
	}
	all := map[bounce.Action][]dsn.Outcome{}
	for _, call := range n.calls {
		for _, o := range call {
			all[o.Action] = append(all[o.Action], o)
		}
	}
	return all
}

func (b *workbench) tells(wanted func(*queue.Delivery, bounce.Action) bool) *notifier {
	n := &notifier{store: b.store, wanted: wanted}
	b.Notifier = n
	return n
}

func TestSenderIsToldBeforeTheEnd(t *testing.T) {
	var n *notifier
	run(t, time.Minute, func(b *workbench) {
		n = b.tells(nil)
		b.stages.shared = true
		b.world.send = func(_ *fakeSession, tx smtpclient.Transaction) ([]smtpclient.Answer, error) {
			return all(tx, answer(550, smtpclient.RCPT)), nil
		}
		b.store.accept(letter{body: "the body"}, addresses(30, "d.example")...)
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Bounced: 30})
		failed := n.told(t)[bounce.Failed]
		if len(failed) != 30 || len(n.calls) != 1 {
			t.Fatalf("%d recipients in %d notices, want 30 in one", len(failed), len(n.calls))
		}
		o := failed[0]
		if o.Reply.Code != 550 || o.RemoteMTA != "mx.d.example" || o.LastAttempt.IsZero() || o.Recipient.Address.Domain() != "d.example" {
			t.Errorf("%+v", o)
		}
	})
}

// TestRelayed tells of success only where the server will not do so itself.
func TestRelayed(t *testing.T) {
	for _, offered := range []bool{false, true} {
		var n *notifier
		run(t, time.Minute, func(b *workbench) {
			n = b.tells(nil)
			b.world.extensions.DSN = offered
			b.store.accept(letter{body: "the body"}, "r@d.example")
		}, func(t *testing.T, b *workbench) {
			wantCounts(t, b, map[event.Type]int{event.Delivered: 1})
			want := 1
			if offered {
				want = 0
			}
			if got := n.told(t); len(got[bounce.Relayed]) != want || len(got) != want {
				t.Errorf("DSN offered %v: told %v", offered, got)
			}
		})
	}
}

// With a return path of ours no server tells the sender of anything: it is asked
// for failures alone, and we tell.
func TestRelayedFromAReturnPathOfOurs(t *testing.T) {
	var n *notifier
	var asked mail.Notify
	own, err := mail.ParseAddress("b-1@bounce.example")
	if err != nil {
		t.Fatal(err)
	}
	run(t, time.Minute, func(b *workbench) {
		n = b.tells(nil)
		b.world.extensions.DSN = true
		b.stages.returnPath = func(*queue.Delivery) mail.Address { return own }
		b.world.send = func(_ *fakeSession, tx smtpclient.Transaction) ([]smtpclient.Answer, error) {
			asked = tx.Recipients[0].Notify
			return all(tx, ok), nil
		}
		b.store.accept(letter{body: "the body", notify: mail.NotifySuccess | mail.NotifyDelay}, "r@d.example")
	}, func(t *testing.T, b *workbench) {
		if got := n.told(t); len(got[bounce.Relayed]) != 1 || len(got) != 1 {
			t.Errorf("told %v", got)
		}
		if asked != mail.NotifyFailure {
			t.Errorf("asked for %v", asked)
		}
	})
}

func TestDelayExpiryAndDropAreTold(t *testing.T) {
	var n *notifier
	run(t, 6*time.Hour, func(b *workbench) {
		n = b.tells(func(d *queue.Delivery, action bounce.Action) bool {
			return action != bounce.Delayed || d.Attempts == 1
		})
		b.world.send = func(_ *fakeSession, tx smtpclient.Transaction) ([]smtpclient.Answer, error) {
			return all(tx, answer(451, smtpclient.RCPT)), nil
		}
		b.stages.admit = func(d *queue.Delivery) (Verdict, error) {
			return Verdict{Drop: d.Recipient.Address.Domain() == "dropped.example", Reason: "suppressed: manual"}, nil
		}
		b.world.errs["null.example"] = &route.Error{Err: errors.New("null MX"), Reply: mail.Reply{Code: 556, Enhanced: mail.EnhancedCode{Class: 5, Subject: 1, Detail: 10}, Text: "takes no mail"}}
		b.store.accept(letter{body: "the body", maxAge: 5 * time.Hour}, "r@d.example", "r@dropped.example", "r@null.example")
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Expired: 1, event.Dropped: 1, event.Bounced: 1})
		told := n.told(t)
		if len(told[bounce.Delayed]) != 1 || told[bounce.Delayed][0].RetryUntil.IsZero() || told[bounce.Delayed][0].Reply.Code != 451 {
			t.Errorf("delayed: %+v", told[bounce.Delayed])
		}
		if len(told[bounce.Failed]) != 3 {
			t.Fatalf("failed: %+v", told[bounce.Failed])
		}
		for _, o := range told[bounce.Failed] {
			want := map[mail.Domain]string{"d.example": "4.4.7", "dropped.example": "5.7.1", "null.example": "5.1.10"}[o.Recipient.Address.Domain()]
			if o.Status.String() != want || o.Reason == "" {
				t.Errorf("%s: status %s, want %s; %+v", o.Recipient.Address.Domain(), o.Status, want, o)
			}
		}
	})
}

// TestQueueThatTakesNoNotices has others go on meanwhile, and every sender told
// at last but those for whom there was no room.
func TestQueueThatTakesNoNotices(t *testing.T) {
	var n *notifier
	full := true
	run(t, time.Hour, func(b *workbench) {
		b.MaxInFlight = 40 // so that ten notices may wait
		n = b.tells(func(d *queue.Delivery, _ bounce.Action) bool { return d.Recipient.Address.Domain() == "bad.example" })
		n.fail = func() error {
			if full {
				return queue.ErrFull
			}
			return nil
		}
		b.world.send = func(s *fakeSession, tx smtpclient.Transaction) ([]smtpclient.Answer, error) {
			if s.host == "mx.bad.example" {
				return all(tx, answer(550, smtpclient.RCPT)), nil
			}
			return all(tx, ok), nil
		}
		for range 25 {
			b.store.accept(letter{body: "the body"}, "r@bad.example", "r@good.example")
		}
		go func() {
			time.Sleep(30 * time.Minute)
			n.mu.Lock()
			full = false
			n.mu.Unlock()
		}()
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 25, event.Bounced: 25})
		told := len(n.told(t)[bounce.Failed])
		if told < 10 || told >= 25 {
			t.Errorf("%d of 25 told, want those that there was room for", told)
		}
	})
}

// TestStopTellsWhatEnded stops while a notice waits for its like.
func TestStopTellsWhatEnded(t *testing.T) {
	var n *notifier
	run(t, gathering/2, func(b *workbench) {
		n = b.tells(nil)
		b.world.send = func(_ *fakeSession, tx smtpclient.Transaction) ([]smtpclient.Answer, error) {
			return all(tx, answer(550, smtpclient.RCPT)), nil
		}
		b.store.accept(letter{body: "the body"}, "r@d.example")
	}, func(t *testing.T, b *workbench) {
		if b.store.counts()[event.Bounced] != 0 {
			t.Error("settled already")
		}
		b.stop()
		if b.store.counts()[event.Bounced] != 1 || len(n.told(t)[bounce.Failed]) != 1 {
			t.Errorf("events %v, told %v", b.store.counts(), n.calls)
		}
		b.stop = func() {}
	})
}

// TestUnwantedCostsNothing: most senders ask for nothing.
func TestUnwantedCostsNothing(t *testing.T) {
	b := newWorkbench()
	b.tells(func(*queue.Delivery, bounce.Action) bool { return false })
	e := &Engine{options: b.Options}
	d := &queue.Delivery{Message: &queue.Message{}}
	if n := testing.AllocsPerRun(100, func() { e.wanted(d, bounce.Relayed) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

package queuetest

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

// faultVariable names the fault with which the test binary runs itself.
const faultVariable = "POSTRIDER_QUEUETEST_FAULT"

// TestFaultsAreCaught runs the suite in a process of its own over stores with
// one fault each, and wants the named tests to fail.
func TestFaultsAreCaught(t *testing.T) {
	for name, f := range faults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range f.caughtBy {
				pattern := "^TestFaulty$/^" + strings.ReplaceAll(c, " ", "_") + "$"
				output, failed := runSelf(t, name, pattern)
				want := "--- FAIL: TestFaulty/" + strings.ReplaceAll(c, " ", "_")
				if !failed || !strings.Contains(output, want) {
					t.Errorf("%q did not notice it:\n%s", c, output)
				}
			}
			if !f.model {
				return
			}
			if output, failed := runSelf(t, name, "^TestFaultyModel$"); !failed || !strings.Contains(output, "--- FAIL: TestFaultyModel") {
				t.Errorf("the model did not notice it:\n%s", output)
			}
		})
	}
}

func runSelf(t *testing.T, fault, pattern string) (output string, failed bool) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self, "-test.run="+pattern, "-rapid.nofailfile", "-rapid.checks=300", "-rapid.shrinktime=1s", "-test.timeout=60s")
	command.Env = append(os.Environ(), faultVariable+"="+fault)
	out, err := command.CombinedOutput()
	return string(out), err != nil
}

func openFaulty(t *testing.T) func(*testing.T) Harness {
	f, ok := faults()[os.Getenv(faultVariable)]
	if !ok {
		t.Skip("this is run by TestFaultsAreCaught")
	}
	return func(*testing.T) Harness { return newHarness(f.store) }
}

// faultyPatience is enough for a store that keeps nothing on disk.
const faultyPatience = 700 * time.Millisecond

func TestFaulty(t *testing.T) { run(t, openFaulty(t), faultyPatience) }

func TestFaultyModel(t *testing.T) { runModel(t, openFaulty(t), faultyPatience) }

// fault is a way of breaking the contract.
type fault struct {
	store    func(*Memory) queue.Store
	caughtBy []string
	// model says that RunModel finds it too.
	model bool
}

func faults() map[string]fault {
	return map[string]fault{
		"settle is lost": {func(m *Memory) queue.Store { return lostSettle{m} }, []string{
			"each outcome ends its recipient with one event", "outcomes are settled at once by many",
		}, true},
		"settle is not durable": {func(m *Memory) queue.Store { return &undurable{Memory: m} }, []string{
			"each outcome ends its recipient with one event", "everything outlives a reopening", "everything outlives a crash",
		}, true},
		"settle writes its event twice": {func(m *Memory) queue.Store { return eventTwice{m} }, []string{
			"each outcome ends its recipient with one event", "a crash while mail is accepted and settled",
		}, true},
		"settle keeps quiet about the unknown": {func(m *Memory) queue.Store { return lenient{m} }, []string{"settling the unknown"}, false},
		"leases are given twice": {func(m *Memory) queue.Store { return &doubleLease{Memory: m} }, []string{
			"a recipient is leased to one at a time", "outcomes are settled at once by many",
		}, true},
		"leases outlive a crash":        {func(m *Memory) queue.Store { return stuckLease{m} }, []string{"leases end with a crash"}, true},
		"accept loses a wake-up":        {func(m *Memory) queue.Store { return &lostAccept{Memory: m} }, []string{"ready loses no wake-up under load"}, false},
		"return loses the wake-up":      {func(m *Memory) queue.Store { return lostReturn{m} }, []string{"ready reports what is deferred, returned or retried"}, false},
		"ready reports twice":           {func(m *Memory) queue.Store { return reportsTwice{m} }, []string{"ready reports a queue once"}, false},
		"ready ignores the time":        {func(m *Memory) queue.Store { return early{m} }, []string{"not before its time", "ready reports what becomes due"}, true},
		"next gives the youngest first": {func(m *Memory) queue.Store { return youngestFirst{m} }, []string{"next gives those due longest first"}, true},
		"deferral counts no attempt":    {func(m *Memory) queue.Store { return uncounted{m} }, []string{"deferral counts an attempt"}, true},
		"deferral passes the expiry":    {func(m *Memory) queue.Store { return unclamped{m} }, []string{"deferral never passes the expiry"}, true},
		"metadata is tidied":            {func(m *Memory) queue.Store { return tidy{m} }, []string{"accepted message is offered whole"}, false},
		"the body's slice is kept":      {func(m *Memory) queue.Store { return keepsSlice{m} }, []string{"body belongs to the caller"}, false},
		"cancel takes what is leased": {func(m *Memory) queue.Store { return cancelsLeased{m} }, []string{
			"cancel leaves what is leased until it is back", "cancel while mail is taken and settled",
		}, true},
		"cancel lets off what is leased": {func(m *Memory) queue.Store { return sparesLeased{m} }, []string{
			"cancel leaves what is leased until it is back",
		}, true},
		"cancel takes effect bit by bit": {func(m *Memory) queue.Store { return bitByBit{m} }, []string{
			"cancel takes effect at once", "cancel goes on without its caller", "cancel outlives a crash",
		}, false},
		"cancel goes queue by queue": {func(m *Memory) queue.Store { return queueByQueue{m} }, []string{
			"cancel has one place among accepts",
		}, false},
		"cancel ends with the process": {func(m *Memory) queue.Store { return &forgottenCancel{Memory: m} }, []string{
			"cancel outlives a restart", "cancel outlives a crash",
		}, false},
		"cancel lasts": {func(m *Memory) queue.Store { return &lastingCancel{Memory: m} }, []string{
			"cancel spares what comes later",
		}, true},
		"cancel says nothing":         {func(m *Memory) queue.Store { return silentCancel{m} }, []string{"cancel ends what is selected"}, true},
		"retry ignores the campaign":  {func(m *Memory) queue.Store { return wideRetry{m} }, []string{"retry makes due what is selected"}, true},
		"list repeats the page's end": {func(m *Memory) queue.Store { return repeatsPage{m} }, []string{"list shows what is selected", "list pages while mail is settled"}, true},
		"hold lasts till the restart": {func(m *Memory) queue.Store { return &volatileHold{Memory: m} }, []string{"hold outlives a restart and a crash"}, true},
		"hold outdoes the expiry":     {func(m *Memory) queue.Store { return endlessHold{m} }, []string{"held mail expires"}, false},
		"hold is an attempt":          {func(m *Memory) queue.Store { return countingHold{m} }, []string{"hold keeps back what is selected"}, true},
		"usage counts recipients":     {func(m *Memory) queue.Store { return wideUsage{m} }, []string{"usage counts messages once"}, true},
		"oldest is when due":          {func(m *Memory) queue.Store { return wrongOldest{m} }, []string{"queues shows each queue at a glance"}, true},
	}
}

// volatileHold forgets its holds when it ends.
type volatileHold struct{ *Memory }

func (v *volatileHold) ended(again *Memory) { clear(again.holds) }

// endlessHold never offers what is held.
type endlessHold struct{ *Memory }

func (e endlessHold) Next(ctx context.Context, key queue.Key, limit int) ([]*queue.Delivery, error) {
	got, err := e.Memory.Next(ctx, key, limit)
	return slices.DeleteFunc(got, func(d *queue.Delivery) bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.heldBy(e.owed[d.ID()]) != ""
	}), err
}

// countingHold counts an attempt for whatever is held when asked for more.
type countingHold struct{ *Memory }

func (c countingHold) Next(ctx context.Context, key queue.Key, limit int) ([]*queue.Delivery, error) {
	c.mu.Lock()
	for _, h := range c.queues[key] {
		if c.heldBy(h) != "" {
			h.Attempts++
		}
	}
	c.mu.Unlock()
	return c.Memory.Next(ctx, key, limit)
}

type wideUsage struct{ *Memory }

func (w wideUsage) Usage(tenant string) queue.Usage {
	u := w.Memory.Usage(tenant)
	w.mu.Lock()
	defer w.mu.Unlock()
	u.Messages = 0
	for _, h := range w.owed {
		if h.Message.Tenant == tenant {
			u.Messages++
		}
	}
	return u
}

type lostSettle struct{ *Memory }

func (lostSettle) Settle(context.Context, []queue.Outcome) error { return nil }

// undurable forgets the last outcomes when it ends.
type undurable struct {
	*Memory
	settled []*held
}

func (u *undurable) Settle(ctx context.Context, outcomes []queue.Outcome) error {
	var settled []*held
	u.mu.Lock()
	for _, o := range outcomes {
		if h := u.owed[o.Recipient]; h != nil {
			settled = append(settled, h)
		}
	}
	u.mu.Unlock()
	u.settled = settled
	return u.Memory.Settle(ctx, outcomes)
}

func (u *undurable) ended(again *Memory) {
	for _, h := range u.settled {
		h.leased = false
		again.hold(h)
	}
}

type eventTwice struct{ *Memory }

func (e eventTwice) Settle(ctx context.Context, outcomes []queue.Outcome) error {
	err := e.Memory.Settle(ctx, outcomes)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, outcomes[0].Event)
	return err
}

type lenient struct{ *Memory }

func (l lenient) Settle(ctx context.Context, outcomes []queue.Outcome) error {
	for _, o := range outcomes {
		_ = l.Memory.Settle(ctx, []queue.Outcome{o})
	}
	return nil
}

// doubleLease hands out now and then what it handed out before.
type doubleLease struct {
	*Memory
	last atomic.Pointer[queue.Delivery]
}

func (d *doubleLease) Next(ctx context.Context, key queue.Key, limit int) ([]*queue.Delivery, error) {
	got, err := d.Memory.Next(ctx, key, limit)
	if len(got) > 0 && len(got) < limit {
		got = append(got, got[0])
	} else if last := d.last.Load(); last != nil && len(got) > 0 && last.Key() == key {
		got[0] = last
	}
	if len(got) > 0 {
		d.last.Store(got[0])
	}
	return got, err
}

type stuckLease struct{ *Memory }

func (s stuckLease) ended(again *Memory) {
	for _, h := range again.owed {
		h.leased = true
	}
}

// lostAccept takes a queue for reported that it has not reported.
type lostAccept struct {
	*Memory
	count atomic.Int64
}

func (l *lostAccept) Accept(ctx context.Context, s *queue.Submission) error {
	err := l.Memory.Accept(ctx, s)
	if l.count.Add(1)%20 == 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.reported[keyOf(s.Recipients[0].Address.Domain())] = true
	}
	return err
}

type lostReturn struct{ *Memory }

func (l lostReturn) Return(deliveries []*queue.Delivery) {
	l.Memory.Return(deliveries)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range deliveries {
		l.reported[d.Key()] = true
	}
}

type reportsTwice struct{ *Memory }

func (r reportsTwice) Ready(ctx context.Context) ([]queue.Key, error) {
	keys, err := r.Memory.Ready(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.reported)
	return keys, err
}

type early struct{ *Memory }

func (e early) Accept(ctx context.Context, s *queue.Submission) error {
	again := *s
	again.Message.NotBefore = time.Time{}
	return e.Memory.Accept(ctx, &again)
}

type youngestFirst struct{ *Memory }

func (y youngestFirst) Next(ctx context.Context, key queue.Key, limit int) ([]*queue.Delivery, error) {
	got, err := y.Memory.Next(ctx, key, limit)
	slices.Reverse(got)
	return got, err
}

type uncounted struct{ *Memory }

func (u uncounted) Defer(ctx context.Context, deferrals []queue.Deferral) error {
	err := u.Memory.Defer(ctx, deferrals)
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, d := range deferrals {
		if h := u.owed[d.Recipient]; h != nil {
			h.Attempts--
		}
	}
	return err
}

type unclamped struct{ *Memory }

func (u unclamped) Defer(ctx context.Context, deferrals []queue.Deferral) error {
	err := u.Memory.Defer(ctx, deferrals)
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, d := range deferrals {
		if h := u.owed[d.Recipient]; h != nil {
			h.Due = d.Until
		}
	}
	return err
}

type tidy struct{ *Memory }

func (t tidy) Accept(ctx context.Context, s *queue.Submission) error {
	again := *s
	var compact bytes.Buffer
	if json.Compact(&compact, s.Message.Metadata) == nil {
		again.Message.Metadata = compact.Bytes()
	}
	return t.Memory.Accept(ctx, &again)
}

type keepsSlice struct{ *Memory }

func (k keepsSlice) Accept(ctx context.Context, s *queue.Submission) error {
	err := k.Memory.Accept(ctx, s)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bodies[s.Message.ID] = s.Body
	return err
}

type cancelsLeased struct{ *Memory }

func (c cancelsLeased) Cancel(ctx context.Context, s queue.Selector, reason string) (int, error) {
	c.mu.Lock()
	for _, h := range c.owed {
		h.leased = false
	}
	c.mu.Unlock()
	return c.Memory.Cancel(ctx, s, reason)
}

// sparesLeased forgets the cancel when what was leased comes back.
type sparesLeased struct{ *Memory }

func (s sparesLeased) Cancel(ctx context.Context, x queue.Selector, reason string) (int, error) {
	n, err := s.Memory.Cancel(ctx, x, reason)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.owed {
		h.cancelled = false
	}
	return n, err
}

// bitByBit cancels what it finds, one after the other, for as long as its
// caller waits.
type bitByBit struct{ *Memory }

func (b bitByBit) Cancel(ctx context.Context, x queue.Selector, reason string) (int, error) {
	b.mu.Lock()
	matching := b.waiting(x)
	b.mu.Unlock()
	return b.endSlowly(ctx, matching, reason)
}

func (m *Memory) endSlowly(ctx context.Context, matching []*held, reason string) (n int, err error) {
	for _, h := range matching {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		got, err := m.Cancel(ctx, queue.Selector{Message: h.Message.ID, Recipient: h.Recipient.Address}, reason)
		if n += got; err != nil {
			return n, err
		}
		time.Sleep(10 * time.Microsecond)
	}
	return n, nil
}

// queueByQueue lets mail in between the queues.
type queueByQueue struct{ *Memory }

func (q queueByQueue) Cancel(ctx context.Context, x queue.Selector, reason string) (int, error) {
	all, err := q.Queues(ctx)
	n := 0
	for _, s := range all {
		x.Domain = s.Key.Domain
		got, err := q.Memory.Cancel(ctx, x, reason)
		if n += got; err != nil {
			return n, err
		}
		time.Sleep(5 * time.Millisecond)
	}
	return n, err
}

// forgottenCancel lets nothing out that it has yet to end, and does not know
// of it after a restart.
type forgottenCancel struct{ *Memory }

func (f *forgottenCancel) Cancel(_ context.Context, x queue.Selector, reason string) (int, error) {
	f.mu.Lock()
	matching := f.waiting(x)
	for _, h := range matching {
		h.leased = true
	}
	f.mu.Unlock()
	n := 0
	for _, h := range matching {
		f.mu.Lock()
		if f.closed {
			f.mu.Unlock()
			return n, queue.ErrClosed
		}
		h.leased, h.cancelled, h.reason = false, true, reason
		f.endCancelled(h)
		n++
		f.mu.Unlock()
		time.Sleep(10 * time.Microsecond)
	}
	return n, nil
}

// lastingCancel drops what comes later too.
type lastingCancel struct {
	*Memory
	rules []queue.Selector
}

func (l *lastingCancel) Cancel(ctx context.Context, x queue.Selector, reason string) (int, error) {
	n, err := l.Memory.Cancel(ctx, x, reason)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rules = append(l.rules, x)
	return n, err
}

func (l *lastingCancel) Accept(ctx context.Context, s *queue.Submission) error {
	err := l.Memory.Accept(ctx, s)
	l.mu.Lock()
	rules := slices.Clone(l.rules)
	l.mu.Unlock()
	for _, x := range rules {
		x.Message = s.Message.ID
		_, _ = l.Memory.Cancel(ctx, x, "still withdrawn")
	}
	return err
}

type silentCancel struct{ *Memory }

func (s silentCancel) Cancel(ctx context.Context, x queue.Selector, reason string) (int, error) {
	n, err := s.Memory.Cancel(ctx, x, reason)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = slices.DeleteFunc(s.events, func(e event.Event) bool { return e.Reason == reason })
	return n, err
}

type wideRetry struct{ *Memory }

func (w wideRetry) Retry(ctx context.Context, s queue.Selector) (int, error) {
	s.Campaign = ""
	return w.Memory.Retry(ctx, s)
}

type repeatsPage struct{ *Memory }

func (r repeatsPage) List(ctx context.Context, s queue.Selector, after string, limit int) ([]queue.Entry, string, error) {
	page, next, err := r.Memory.List(ctx, s, after, limit)
	if next != "" && len(page) > 1 {
		next = cursor(entryID(page[len(page)-2]))
	}
	return page, next, err
}

type wrongOldest struct{ *Memory }

func (w wrongOldest) Queues(ctx context.Context) ([]queue.Status, error) {
	all, err := w.Memory.Queues(ctx)
	for i := range all {
		all[i].Oldest = all[i].NextDue
	}
	return all, err
}

package watch

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func begin() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// desk is a watcher with all that it asks for.
type desk struct {
	*Watcher
	t     *testing.T
	rules Rules
	// at is the time of the next event, position that of the last.
	at       time.Time
	position uint64

	mu      sync.Mutex
	acted   []Decision
	holding map[string]bool
	// failures are what Act fails with first.
	failures []error
}

func usual() Rules {
	return Rules{Bounces: Limits{5, 10}, Complaints: Limits{0.1, 0.3}, Minimum: 100, Action: Hold}
}

func (d *desk) options() Options {
	return Options{
		Path:    filepath.Join(d.t.TempDir(), "rates.json"),
		Rules:   func(string, string) Rules { return d.rules },
		HoldID:  func(_ time.Time, seed string) string { return "hold-" + seed },
		Act:     d.act,
		Holding: func(context.Context) (map[string]bool, error) { return d.holding, nil },
		Now:     func() time.Time { return d.at },
	}
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, rules: usual(), at: begin(), holding: map[string]bool{}}
	d.open(d.options())
	return d
}

func (d *desk) open(o Options) {
	d.t.Helper()
	w, err := Open(o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.Watcher = w
}

func (d *desk) act(_ context.Context, decision *Decision) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.failures) > 0 {
		err := d.failures[0]
		d.failures = d.failures[1:]
		return err
	}
	d.acted = append(d.acted, *decision)
	if decision.Hold != "" {
		d.holding[decision.Hold] = true
	}
	return nil
}

// decisions says what was done so far, without the scopes that are only warned
// of, and forgets it.
func (d *desk) decisions() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := ""
	for _, a := range d.acted {
		if a.Scope.Level == OfCampaign {
			text += fmt.Sprintf("[%s %s %s]", a.Scope.Campaign, a.Figure, a.Action)
		}
	}
	d.acted = nil
	return text
}

// news is an event of a campaign in shop/marketing, about the recipient with
// that number.
func (d *desk) news(kind event.Type, campaign string, recipient int, category string) event.Record {
	d.position++
	attempt := 0
	if kind == event.Delivered || kind == event.Bounced {
		attempt = 1
	}
	return event.Record{Position: d.position, Event: event.Event{
		ID: fmt.Sprintf("%s-%s-%d", campaign, kind, recipient), Type: kind, Time: d.at, Tenant: "shop", Stream: "marketing",
		Campaign: campaign, Message: "m-" + campaign, Index: recipient, Recipient: fmt.Sprintf("r%d@a.example", recipient), Category: category, Attempt: attempt,
	}}
}

// tell counts an event and does what it leads to.
func (d *desk) tell(r event.Record) {
	d.t.Helper()
	if err := d.handle(d.t.Context(), []event.Record{r}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) deliver(campaign string, from, to int) {
	for n := from; n < to; n++ {
		r := d.news(event.Delivered, campaign, n, "")
		r.Event.Site = "a.example"
		d.tell(r)
	}
}

func (d *desk) bounce(campaign string, from, to int) {
	for n := from; n < to; n++ {
		d.tell(d.news(event.Bounced, campaign, n, "invalid_recipient"))
	}
}

func (d *desk) complain(campaign string, from, to int) {
	for n := from; n < to; n++ {
		d.tell(d.news(event.Complained, campaign, n, ""))
	}
}

func (d *desk) expect(what, want string) {
	d.t.Helper()
	if got := d.decisions(); got != want {
		d.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// row is that of a campaign.
func (d *desk) row(campaign string) Row {
	d.t.Helper()
	rows := d.Rows(d.at, func(s Scope) bool { return s.Level == OfCampaign && s.Campaign == campaign })
	if len(rows) != 1 {
		d.t.Fatalf("%d rows of %q", len(rows), campaign)
	}
	return rows[0]
}

// release ends the hold of a campaign, as the operator does.
func (d *desk) release(campaign string) {
	d.t.Helper()
	hold := d.row(campaign).Hold
	delete(d.holding, hold)
	d.Released(hold, d.at)
}

// tape is an event log that stays as it is.
type tape []event.Record

func (l tape) Position() (uint64, error) {
	if len(l) == 0 {
		return 0, nil
	}
	return l[len(l)-1].Position, nil
}

func (l tape) Follow(ctx context.Context, after uint64, handle func([]event.Record) error) error {
	for _, r := range l {
		if r.Position <= after {
			continue
		}
		if err := handle([]event.Record{r}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

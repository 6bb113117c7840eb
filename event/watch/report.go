package watch

import (
	"cmp"
	"slices"
	"time"
)

// State is how a scope stands.
type State string

const (
	// OK: no threshold was passed lately.
	OK State = "ok"
	// Few: too few recipients to be judged.
	Few State = "few"
	// Warned: a threshold was passed and told of.
	Warned State = "warned"
	// Slowed: the campaign is paused for a time.
	Slowed State = "slowed"
	// Held: the campaign is held until the operator releases it.
	Held State = "held"
)

// Rate is one figure of a scope at a time.
type Rate struct {
	Count, Sample int
	// Percent is Count of Sample.
	Percent float64
	Limits  Limits
	Window  time.Duration
	// Few: the sample is too small to be judged.
	Few bool
}

// Row is how one scope stands.
type Row struct {
	Scope Scope
	// Delivered and Blocked within the window of bounces: Blocked were refused
	// for what the sender or the message is.
	Delivered, Blocked  int
	Bounces, Complaints Rate
	State               State
	// Since is when it came to that state; Reason says why, in words.
	Since  time.Time
	Reason string
	// Hold is the id of the hold, Until the end of the pause.
	Hold  string
	Until time.Time
	// Released is when a hold was last ended, if what was delivered before is
	// still left out.
	Released time.Time
}

// Rows returns how those scopes stand at a time that wanted says, ordered by
// tenant, then level, stream, campaign and site.
func (w *Watcher) Rows(at time.Time, wanted func(Scope) bool) []Row {
	w.mu.Lock()
	defer w.mu.Unlock()
	var rows []Row
	for _, s := range []*shelf{&w.senders, &w.sites} {
		s.each(func(r *record) {
			if wanted(r.Scope) {
				rows = append(rows, w.row(r, at))
			}
		})
	}
	slices.SortFunc(rows, func(a, b Row) int { return compareScopes(a.Scope, b.Scope) })
	return rows
}

func compareScopes(a, b Scope) int {
	return cmp.Or(
		cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Level.rank(), b.Level.rank()),
		cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Campaign, b.Campaign), cmp.Compare(a.Site, b.Site),
	)
}

func (l Level) rank() int {
	return slices.Index([]Level{OfTenant, OfStream, OfCampaign, OfSite}, l)
}

func (w *Watcher) row(r *record, at time.Time) Row {
	rules := w.options.Rules(r.Scope.Tenant, r.Scope.Stream)
	mail := r.Mail.sum(at, w.options.BounceWindow)
	row := Row{Scope: r.Scope, Delivered: int(mail[delivered]), Blocked: int(mail[blocked]), State: OK}
	for _, f := range []Figure{Bounces, Complaints} {
		of := r.share(f, at, &w.options)
		rate := Rate{of.Count, of.Sample, of.Percent, rules.limits(f), w.options.window(f), of.Sample < max(rules.Minimum, 1)}
		if f == Bounces {
			row.Bounces = rate
		} else {
			row.Complaints = rate
		}
	}
	if r.cohortJudges(at, &w.options) {
		row.Released = r.Released
	}
	if row.Bounces.Few && row.Complaints.Few {
		row.State = Few
	}
	w.addState(&row, r, at)
	return row
}

// addState adds what was decided, if it still stands.
func (w *Watcher) addState(row *Row, r *record, at time.Time) {
	var last *alert
	for _, f := range []Figure{Bounces, Complaints} {
		told, rate := r.alert(f), &row.Bounces
		if f == Complaints {
			rate = &row.Complaints
		}
		stands := r.Hold != "" || at.Sub(told.Since) < rate.Window || !rate.Few && rate.Percent >= min(rate.Limits.Warn, rate.Limits.Act)
		if !told.Since.IsZero() && stands && (last == nil || told.Action.strength() > last.Action.strength()) {
			last = told
		}
	}
	if last == nil {
		return
	}
	row.State, row.Since, row.Reason = Warned, last.Since, last.Reason
	switch {
	case r.deciding > 0: // soon
	case r.Hold != "":
		row.State, row.Hold = Held, r.Hold
	case r.Paused.After(at):
		row.State, row.Until = Slowed, r.Paused
	}
}

// Exceeded counts the decisions of a stream since the start; Stream is empty
// for those of a tenant.
type Exceeded struct {
	Tenant, Stream string
	Figure         Figure
	Action         Action
	Count          int64
}

// Figures are those of a watcher since it was opened.
type Figures struct {
	// Position of the last event counted.
	Position uint64
	// Scopes that are counted, and Evicted ones that made room for others.
	Scopes  int
	Evicted int64
	// Exceeded thresholds, in no order.
	Exceeded []Exceeded
}

// Figures returns them.
func (w *Watcher) Figures() Figures {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := Figures{Position: w.cursor, Scopes: len(w.senders.all) + len(w.sites.all), Evicted: w.evicted}
	for k, n := range w.exceeded {
		f.Exceeded = append(f.Exceeded, Exceeded{k.Tenant, k.Stream, k.Figure, k.Action, n})
	}
	return f
}

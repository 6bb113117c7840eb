package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/event"
)

// Decision is what a share that passed a threshold leads to.
type Decision struct {
	// ID is the same whenever the same events lead to it.
	ID    string
	Scope Scope
	// Figure whose share it is: Count of Sample recipients.
	Figure        Figure
	Count, Sample int
	// Percent is the share, and Threshold the one that it passed.
	Percent, Threshold float64
	Window             time.Duration
	Action             Action
	// Time is that of the event that led to it.
	Time time.Time
	// Hold is the id of the hold to make, Until the end of the pause.
	Hold  string
	Until time.Time
	// Reason in words.
	Reason string
}

const (
	// firstPause doubles with every further one in a row, up to longestPause.
	firstPause   = 5 * time.Minute
	longestPause = 2 * time.Hour
)

// judge holds both figures of a scope against its thresholds. The caller holds
// mu.
func (w *Watcher) judge(r *record, cause *event.Record) []*Decision {
	at := cause.Event.Time
	if r.Hold != "" || at.Before(r.Released) {
		return nil
	}
	rules := w.options.Rules(r.Scope.Tenant, r.Scope.Stream)
	var decisions []*Decision
	for _, f := range []Figure{Bounces, Complaints} {
		of := r.share(f, at, &w.options)
		old := w.options.Now().Sub(at) >= w.options.window(f) // what comes of it is over
		if old || of.Sample < max(rules.Minimum, 1) {
			continue
		}
		if d := w.decide(r, f, of, &rules, at); d != nil {
			d.name(cause)
			if d.Action == Hold {
				d.Hold = w.options.HoldID(at, d.ID)
				r.Hold = d.Hold
			}
			decisions = append(decisions, d)
			w.count(d)
		}
		if r.Hold != "" {
			break
		}
	}
	return decisions
}

// decide returns a decision if the share calls for one that was not made yet.
func (w *Watcher) decide(r *record, f Figure, of share, rules *Rules, at time.Time) *Decision {
	limits, told := rules.limits(f), r.alert(f)
	if of.Percent < min(limits.Warn, limits.Act) {
		if !told.Since.IsZero() && at.Sub(told.Since) >= w.options.window(f) {
			*told = alert{}
			r.Pauses = 0
		}
		return nil
	}
	threshold, action, acts := limits.Warn, Warn, of.Percent >= limits.Act
	if acts {
		threshold, action = limits.Act, r.actionOf(rules)
	}
	if !told.Since.IsZero() && !told.risen(action, acts, !at.Before(r.Paused)) {
		return nil
	}
	d := &Decision{
		Scope: r.Scope, Figure: f, Count: of.Count, Sample: of.Sample, Percent: of.Percent,
		Threshold: threshold, Window: w.options.window(f), Action: action, Time: at,
	}
	d.Reason = d.describe()
	*told = alert{Acted: acts, Action: action, Since: at, Reason: d.Reason}
	if action == Slow {
		pause := min(firstPause<<min(r.Pauses, 10), longestPause)
		r.Pauses++
		r.Paused = at.Add(pause)
		d.Until = r.Paused
	}
	return d
}

// risen reports whether an action is more than what was told: that of the second
// threshold, a stronger one, or the next pause.
func (a *alert) risen(action Action, acts, resumed bool) bool {
	return acts && (!a.Acted || action.strength() > a.Action.strength() || action == Slow && resumed)
}

// actionOf is what a share beyond the second threshold leads to. Only campaigns
// are slowed and held, and a pause needs a name.
func (r *record) actionOf(rules *Rules) Action {
	switch {
	case r.Scope.Level != OfCampaign, rules.Action == Slow && r.Scope.Campaign == "":
		return Warn
	case rules.Action.strength() == 0:
		return Warn
	}
	return rules.Action
}

// name gives the decision an id that follows from its cause.
func (d *Decision) name(cause *event.Record) {
	s := d.Scope
	text := strings.Join([]string{
		cause.Event.ID, strconv.FormatUint(cause.Position, 10), string(s.Level), s.Tenant, s.Stream, s.Campaign, s.Site, string(d.Figure),
	}, "\x00")
	sum := sha256.Sum256([]byte(text))
	d.ID = hex.EncodeToString(sum[:10])
}

func (d *Decision) describe() string {
	of := "delivered or bounced"
	if d.Figure == Complaints {
		of = "delivered"
	}
	return fmt.Sprintf("%s: %s at %s, threshold %s: %d of %d %s within %s",
		d.Scope, d.Figure, percent(d.Percent), strconv.FormatFloat(d.Threshold, 'f', -1, 64)+" %", d.Count, d.Sample, of, span(d.Window))
}

// percent writes a share with as many digits as tell it from others.
func percent(p float64) string {
	if p >= 1 {
		return trimZeros(strconv.FormatFloat(p, 'f', 1, 64)) + " %"
	}
	return trimZeros(strconv.FormatFloat(p, 'f', 3, 64)) + " %"
}

func trimZeros(digits string) string { return strings.TrimRight(strings.TrimRight(digits, "0"), ".") }

// span writes a time in hours and minutes.
func span(d time.Duration) string {
	text := strings.TrimSuffix(d.String(), "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// count counts a decision for the metrics. The caller holds mu.
func (w *Watcher) count(d *Decision) {
	if w.exceeded == nil {
		w.exceeded = map[exceededKey]int64{}
	}
	w.exceeded[exceededKey{d.Scope.Tenant, d.Scope.Stream, d.Figure, d.Action}]++
}

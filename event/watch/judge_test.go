package watch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
)

// TestHoldsTheCampaignThatBounces proves the way from the first threshold to the
// second, that nothing is said twice, and that other campaigns are left alone.
func TestHoldsTheCampaignThatBounces(t *testing.T) {
	d := newDesk(t)
	d.deliver("good", 0, 2000)
	d.deliver("bad", 0, 95)
	d.bounce("bad", 95, 99)
	d.expect("below the minimum", "")
	d.bounce("bad", 99, 101)
	d.expect("6 of 101", "[bad bounces warn]")
	d.bounce("bad", 101, 105)
	d.expect("told of before", "")
	d.bounce("bad", 105, 110)
	row := d.row("bad")
	if row.State != Held || row.Bounces.Count != 15 || row.Delivered != 95 || row.Hold == "" || !row.Since.Equal(d.at) {
		t.Errorf("%+v", row)
	}
	d.bounce("bad", 110, 200)
	d.expect("held already", "[bad bounces hold]")
	if other := d.row("good"); other.State != OK || other.Bounces.Percent != 0 {
		t.Errorf("%+v", other)
	}
	const reason = "campaign bad: bounces at 10.4 %, threshold 10 %: 11 of 106 delivered or bounced within 1h"
	if row.Reason != reason {
		t.Errorf("reason %q", row.Reason)
	}
}

// TestJudgesWhenTheSampleIsThere proves that a list of nothing but bounces is
// held, and that it is a delivery too which can complete the sample.
func TestJudgesWhenTheSampleIsThere(t *testing.T) {
	d := newDesk(t)
	d.bounce("all", 0, 99)
	d.bounce("some", 0, 20)
	d.deliver("some", 20, 99)
	d.expect("below the minimum", "")
	if row := d.row("all"); row.State != Few || !row.Bounces.Few || row.Bounces.Percent != 100 {
		t.Errorf("%+v", row)
	}
	d.bounce("all", 99, 100)
	d.deliver("some", 99, 100)
	d.expect("at the minimum", "[all bounces hold][some bounces hold]")
}

// TestKindsOfBounces proves that only refusals of the address are hard bounces.
func TestKindsOfBounces(t *testing.T) {
	d := newDesk(t)
	d.deliver("c", 0, 50)
	for n, category := range []string{
		"policy", "spam", "blocklist", "authentication", "rate_limit",
		"mailbox_full", "routing", "system", "protocol", "tls", "size", "unknown", "", "greylisting",
		"invalid_recipient", "inactive",
	} {
		d.tell(d.news(event.Bounced, "c", 50+n, category))
	}
	for n, kind := range []event.Type{event.Accepted, event.Deferred, event.Expired, event.Dropped, event.Opened, event.Suppressed, event.RateExceeded} {
		d.tell(d.news(kind, "c", n, "invalid_recipient"))
	}
	for _, kind := range []event.Type{event.Accepted, event.Deferred, event.Delivered, event.Bounced, event.Expired, event.Dropped, event.Complained} {
		if _, counted := kindOf(&event.Event{Type: kind, Attempt: 1}); counted != slices.Contains(Types(), kind) {
			t.Errorf("%s: counted is %t", kind, counted)
		}
	}
	if row := d.row("c"); row.Delivered != 50 || row.Blocked != 5 || row.Bounces.Count != 2 || row.Bounces.Sample != 66 || row.Complaints.Sample != 50 {
		t.Errorf("%+v", row)
	}
}

// TestBouncesThatComeByMail proves that they count once more for recipients that
// were counted as delivered, that only those of the address do, and that those
// about the time before a release do not.
func TestBouncesThatComeByMail(t *testing.T) {
	d := newDesk(t)
	back := func(from, to int, category string) {
		for n := from; n < to; n++ {
			r := d.news(event.Bounced, "c", n, category)
			r.Event.Attempt = 0
			d.tell(r)
		}
	}
	d.deliver("c", 0, 200)
	back(100, 200, "policy")
	back(0, 19, "invalid_recipient")
	d.expect("19 of 200", "[c bounces warn]")
	if row := d.row("c"); row.Bounces.Count != 19 || row.Bounces.Sample != 200 || row.Blocked != 0 {
		t.Errorf("%+v", row)
	}
	back(19, 20, "inactive")
	d.expect("20 of 200", "[c bounces hold]")
	d.release("c")
	d.deliver("c", 1000, 1100)
	back(20, 100, "invalid_recipient")
	d.expect("about what was delivered before", "")
	back(1000, 1010, "invalid_recipient")
	d.expect("about what was delivered since", "[c bounces warn][c bounces hold]")
	d.at = d.at.Add(50 * time.Hour)
	d.release("c")
	d.at = d.at.Add(50 * time.Hour)
	back(2000, 2150, "invalid_recipient")
	if row := d.row("c"); row.Bounces.Percent != 100 || row.Bounces.Sample != 150 || row.State != Held {
		t.Errorf("delivered before the window: %+v", row.Bounces)
	}
}

// TestComplaints proves that complaints are a share of what was delivered, and
// that a reader counts once for a message.
func TestComplaints(t *testing.T) {
	d := newDesk(t)
	d.deliver("c", 0, 1000)
	for range 20 {
		d.complain("c", 0, 1)
	}
	d.expect("1 of 1000, told often", "[c complaints warn]")
	d.complain("c", 1, 3)
	d.expect("3 of 1000", "[c complaints hold]")
	if row := d.row("c"); row.Complaints.Count != 3 || row.Complaints.Percent != 0.3 {
		t.Errorf("%+v", row)
	}
}

// TestLevels proves that tenants, streams and providers are warned of and not
// held, and that a complaint counts for the provider that mail went to.
func TestLevels(t *testing.T) {
	d := newDesk(t)
	d.deliver("c", 0, 200)
	d.complain("c", 0, 1)
	levels := map[Level]Action{}
	for _, a := range d.acted {
		levels[a.Scope.Level] = a.Action
	}
	want := map[Level]Action{OfTenant: Warn, OfStream: Warn, OfCampaign: Hold, OfSite: Warn}
	if fmt.Sprint(levels) != fmt.Sprint(want) {
		t.Errorf("%v", levels)
	}
	for _, r := range d.Rows(d.at, func(Scope) bool { return true }) {
		if r.Complaints.Count != 1 || r.Complaints.Sample != 200 || r.Scope.Level == OfSite && r.Scope.Site != "a.example" {
			t.Errorf("%+v", r)
		}
	}
}

// TestWithoutACampaign proves that mail that names none is judged by itself, and
// not paused, since that would pause more than it.
func TestWithoutACampaign(t *testing.T) {
	d := newDesk(t)
	d.rules.Action = Slow
	d.bounce("named", 0, 100)
	d.deliver("", 0, 99)
	d.expect("the stream bounces, what names no campaign does not", "[named bounces slow]")
	d.bounce("", 99, 130)
	d.expect("no pause", "[ bounces warn][ bounces warn]")
	d.rules.Action = Hold
	d.bounce("", 130, 131)
	d.expect("a stronger action", "[ bounces hold]")
}

// TestSlows proves that pauses grow while the share stays, and begin anew when
// it was well for the length of a window.
func TestSlows(t *testing.T) {
	d := newDesk(t)
	d.rules.Action = Slow
	d.bounce("c", 0, 150)
	var pauses []time.Duration
	for n := range 8 {
		last := d.acted[len(d.acted)-1]
		d.acted = nil
		pauses = append(pauses, last.Until.Sub(d.at))
		if row := d.row("c"); row.State != Slowed || !row.Until.Equal(last.Until) {
			t.Errorf("%+v", row)
		}
		d.at = last.Until.Add(-time.Second)
		d.bounce("c", 1000*n+200, 1000*n+350)
		d.expect("paused already", "")
		d.at = last.Until
		d.bounce("c", 1000*n+400, 1000*n+401)
	}
	if got := fmt.Sprint(pauses); got != "[5m0s 10m0s 20m0s 40m0s 1h20m0s 2h0m0s 2h0m0s 2h0m0s]" {
		t.Errorf("paused for %s", got)
	}
	d.acted = nil
	d.at = d.at.Add(5 * time.Hour)
	d.deliver("c", 0, 200)
	d.bounce("c", 0, 100)
	var again []time.Duration
	for _, a := range d.acted {
		if a.Action == Slow {
			again = append(again, a.Until.Sub(a.Time))
		}
	}
	if fmt.Sprint(again) != "[5m0s]" {
		t.Errorf("after a good time: %v", again)
	}
}

// TestWarnsAgain proves that a threshold is told of once while the share stays
// above it, and again when it had been below for a window.
func TestWarnsAgain(t *testing.T) {
	d := newDesk(t)
	d.rules.Action = Warn
	for range 30 {
		d.deliver("c", 0, 50)
		d.bounce("c", 0, 50)
		d.at = d.at.Add(10 * time.Minute)
	}
	// The first event beyond the minimum is a delivery: the share is far above
	// both thresholds then.
	d.expect("five hours above", "[c bounces warn]")
	d.at = d.at.Add(2 * time.Hour)
	d.deliver("c", 0, 500)
	if row := d.row("c"); row.State != OK || row.Reason != "" {
		t.Errorf("%+v", row)
	}
	d.bounce("c", 0, 100)
	d.expect("above again", "[c bounces warn][c bounces warn]")
}

// TestReleaseSticks proves that what happened before a release is not judged
// again, late complaints about it neither, and that what is delivered after it
// is judged.
func TestReleaseSticks(t *testing.T) {
	d := newDesk(t)
	d.deliver("c", 0, 1000)
	d.complain("c", 0, 3)
	d.expect("before", "[c complaints warn][c complaints hold]")
	in := d.news(event.Bounced, "c", 1000, "invalid_recipient") // under way when it was held
	d.at = d.at.Add(time.Minute)
	d.release("c")
	d.tell(in)
	d.at = d.at.Add(time.Minute)
	d.complain("c", 3, 50)
	d.deliver("c", 2000, 3000)
	d.complain("c", 50, 60)
	d.expect("about what was delivered before", "")
	if row := d.row("c"); row.State != OK || row.Complaints.Count != 0 || row.Complaints.Sample != 1000 || row.Bounces.Sample != 1000 || row.Released.IsZero() {
		t.Errorf("%+v", row)
	}
	d.complain("c", 2000, 2003)
	d.expect("about what was delivered since", "[c complaints warn][c complaints hold]")
	d.release("c")
	d.bounce("c", 4000, 4100)
	d.expect("another figure", "[c bounces hold]")
	if d.remembered != 0 {
		t.Errorf("%d deliveries are remembered", d.remembered)
	}
}

// TestCohortEnds proves that all complaints count again when those about the
// time before a release have come, and that memory has a bound until then.
func TestCohortEnds(t *testing.T) {
	d := newDesk(t)
	o := d.options()
	o.Cohort = 150
	d.open(o)
	d.bounce("c", 0, 100)
	d.release("c")
	d.decisions()
	d.deliver("c", 0, 1000)
	if row := d.row("c"); d.remembered != 150 || row.Complaints.Sample != 150 || row.Delivered != 1000 {
		t.Errorf("%d, %+v", d.remembered, row)
	}
	d.complain("c", 500, 600)
	d.expect("not known for later ones", "")
	d.at = d.at.Add(49 * time.Hour)
	if n, err := d.Expire(t.Context(), d.at); n != 150 || err != nil || d.remembered != 0 {
		t.Errorf("%d expired, %v; %d are remembered", n, err, d.remembered)
	}
	d.deliver("c", 5000, 5200)
	d.complain("c", 700, 701)
	d.expect("two days later", "[c complaints hold]")
	if n, err := (*Watcher)(nil).Expire(t.Context(), d.at); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// TestMemoryIsBounded proves that scopes have a bound, that what is in use or
// held stays, and that what is over is forgotten.
func TestMemoryIsBounded(t *testing.T) {
	d := newDesk(t)
	o := d.options()
	o.Scopes = 50
	d.open(o)
	d.bounce("held", 0, 100)
	for n := range 500 {
		d.deliver(fmt.Sprint("c", n), 0, 1)
		r := d.news(event.Delivered, "many", n, "")
		r.Event.Site = fmt.Sprintf("site%d.example", n)
		d.tell(r)
	}
	f := d.Figures()
	if f.Scopes != 100 || f.Evicted == 0 || d.row("held").State != Held || d.row("many").Delivered != 500 {
		t.Errorf("%+v", f)
	}
	d.forget(d.at.Add(25 * time.Hour))
	rows := d.Rows(d.at, func(Scope) bool { return true })
	if len(rows) != 1 || rows[0].Scope.Campaign != "held" {
		t.Errorf("%+v", rows)
	}
	for n := range 3 * maxDomains {
		r := d.news(event.Delivered, "many", n, "")
		r.Event.Recipient, r.Event.Site = fmt.Sprintf("r@d%d.example", n), "one.example"
		d.tell(r)
	}
	if len(d.domains) > maxDomains {
		t.Errorf("%d domains", len(d.domains))
	}
	d.deliver("c", 0, 1)
	for n := range 2 * maxReported {
		d.complain("c", n, n+1)
	}
	if len(d.reported) > maxReported {
		t.Errorf("%d complaints", len(d.reported))
	}
}

// TestLiftSticks proves that pauses that the operator ended are not made again
// for the same past.
func TestLiftSticks(t *testing.T) {
	d := newDesk(t)
	d.rules.Action = Slow
	d.bounce("c", 0, 150)
	d.Lifted(d.at)
	d.decisions()
	d.bounce("c", 150, 200)
	if row := d.row("c"); row.State != Few || row.Bounces.Count != 50 || !row.Until.IsZero() {
		t.Errorf("%+v", row)
	}
	d.expect("50 since", "")
	d.bounce("c", 200, 250)
	d.expect("100 since", "[c bounces slow]")
}

// TestOldNews proves that what is read long after it happened is counted, and
// leads to nothing.
func TestOldNews(t *testing.T) {
	d := newDesk(t)
	now := d.at.Add(2 * time.Hour)
	o := d.options()
	o.Now = func() time.Time { return now }
	d.open(o)
	d.bounce("c", 0, 200)
	d.expect("two hours old", "")
	d.at = now
	d.bounce("c", 200, 299)
	d.expect("the old ones have left the window", "")
	d.bounce("c", 299, 300)
	d.expect("100 of now", "[c bounces hold]")
}

// TestEventsOfNobody proves that what names no tenant is passed over.
func TestEventsOfNobody(t *testing.T) {
	d := newDesk(t)
	r := d.news(event.Complained, "c", 1, "")
	r.Event.Tenant = ""
	d.tell(r)
	if f := d.Figures(); f.Scopes != 0 || f.Position != r.Position {
		t.Errorf("%+v", f)
	}
}

// TestClockSetBack proves that counts of a time that has not come do not stand
// in the way.
func TestClockSetBack(t *testing.T) {
	d := newDesk(t)
	d.at = d.at.Add(100 * time.Hour)
	d.deliver("c", 0, 1000)
	d.at = d.at.Add(-90 * time.Hour)
	d.bounce("c", 0, 150)
	d.expect("afterwards", "[c bounces hold]")
}

func TestWords(t *testing.T) {
	for p, want := range map[float64]string{100: "100 %", 12.34: "12.3 %", 10: "10 %", 0.3: "0.3 %", 0.1234: "0.123 %", 0: "0 %"} {
		if got := percent(p); got != want {
			t.Errorf("%v: %s", p, got)
		}
	}
	for d, want := range map[time.Duration]string{time.Hour: "1h", 24 * time.Hour: "24h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m"} {
		if got := span(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
	for _, s := range scopesOf("shop", "marketing", "", "a.example") {
		if text := s.String(); text == "" || strings.Contains(text, "  ") {
			t.Errorf("%+v is %q", s, text)
		}
	}
}

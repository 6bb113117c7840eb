package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
)

// rate is how a campaign stands.
func (w *world) rate(campaign string) api.Rate {
	w.Helper()
	var answer api.Rates
	if err := json.Unmarshal([]byte(w.run("--json", "rates")), &answer); err != nil {
		w.Fatal(err)
	}
	for _, r := range answer.Rates {
		if r.Level == "campaign" && r.Campaign == campaign {
			return r
		}
	}
	return api.Rate{}
}

// held waits until a campaign is, and returns how it stands.
func (w *world) held(campaign string) api.Rate {
	w.Helper()
	var r api.Rate
	w.await("campaign "+campaign+" is held", func() bool {
		r = w.rate(campaign)
		return r.State == "held"
	})
	return r
}

// mail hands in a campaign of one message to each of these readers.
func (w *world) mail(campaign, name string, from, to int) {
	w.Helper()
	for n := from; n < to; n++ {
		w.hand(letter("X-Postrider-Stream: marketing", "X-Postrider-Campaign: "+campaign), fmt.Sprintf("%s%d@reader.example", name, n))
	}
}

// holds counts the events that tell of a hold.
func (w *world) holds() (told []event.Event) {
	for _, e := range w.events() {
		if e.Rate != nil && e.Rate.Action == "hold" {
			told = append(told, e)
		}
	}
	return told
}

// TestBadCampaignIsHeldUntilItIsReleased follows a campaign whose list is bad:
// it is held by itself, a kill and a restart change nothing, others go on, and
// what the operator releases goes and stays released.
func TestBadCampaignIsHeldUntilItIsReleased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{Rules: []testmx.Rule{
		{Command: testmx.RCPT, Pattern: "gone*@reader.example", Action: testmx.Action{Reply: "550 5.1.1 no such user"}},
	}})
	w.start(settings{rest: "[rates]\nminimum_sample = 20\n"})
	w.mail("november", "reader", 0, 18)
	w.mail("november", "gone", 0, 2)
	held := w.held("november")
	w.mail("november", "late", 0, 5)
	w.mail("spring", "reader", 0, 5)
	w.await("the other campaign goes on", func() bool { return w.rate("spring").Delivered == 5 })
	w.daemon.Kill()
	w.restart()

	again := w.held("november")
	if again.Hold != held.Hold || again.Reason != held.Reason || !again.Since.Equal(held.Since) || again.Bounces.Count < held.Bounces.Count {
		t.Errorf("before %+v\nafter  %+v", held, again)
	}
	if told := w.holds(); len(told) != 1 || told[0].Rate.Hold != held.Hold || told[0].Campaign != "november" || told[0].Reason != held.Reason {
		t.Errorf("%+v", told)
	}
	why := w.run("why", "--campaign", "november")
	if !strings.Contains(why, "held: "+held.Reason) {
		t.Errorf("why:\n%s", why)
	}
	if out := w.run("rates"); !strings.Contains(out, "postrider queue release "+held.Hold) {
		t.Errorf("rates:\n%s", out)
	}
	w.run("queue", "release", held.Hold)
	w.settled()
	w.mail("november", "gone", 100, 106)
	w.mail("november", "reader", 100, 105)
	w.settled()
	w.await("what came after the release is counted", func() bool { return w.rate("november").Bounces.Sample == 16 })
	w.daemon.Kill()
	w.restart()
	if r := w.rate("november"); r.State != "few" || r.Released.IsZero() || len(w.holds()) != 1 || len(mx.Messages()) != 33 {
		t.Errorf("%d messages, %+v", len(mx.Messages()), r)
	}
	w.mail("november", "gone", 200, 204)
	if r := w.held("november"); r.Hold == held.Hold {
		t.Errorf("%+v", r)
	}
}

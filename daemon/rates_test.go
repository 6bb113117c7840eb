package daemon

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/event/watch"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/shape"
)

// ratesSite is a daemon whose mail goes to a server that knows nobody whose
// name begins with gone, and that judges twenty recipients.
func ratesSite(t *testing.T, stream string) *site {
	t.Helper()
	_, address := testmx.Start(t, testmx.Options{Rules: []testmx.Rule{
		{Command: testmx.RCPT, Pattern: "gone*@example.net", Action: testmx.Action{Reply: "550 5.1.1 no such user"}},
		{Command: testmx.RCPT, Pattern: "spam*@example.net", Action: testmx.Action{Reply: "550 5.7.1 message looks like spam"}},
	}})
	return newSite(t, basic+fmt.Sprintf(`[[route]]
match = "*"
via = %q
[[tenant]]
name = "shop"
[[tenant.stream]]
name = "marketing"
%s
[rates]
minimum_sample = 20
`, address.String(), stream))
}

// hand gives in mail of a campaign to readers with these names and numbers.
func hand(t *testing.T, s *site, campaign, name string, from, to int) {
	t.Helper()
	r := request("marketing")
	r.To = nil
	for n := from; n < to; n++ {
		r.To = append(r.To, fmt.Sprintf("%s%d@example.net", name, n))
	}
	if campaign != "" {
		r.Message = append([]byte("X-Postrider-Campaign: "+campaign+"\n"), r.Message...)
	}
	if _, err := s.client().Send(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// awaitRate waits until the rate of a campaign is as it must be.
func awaitRate(t *testing.T, s *site, campaign string, is func(api.Rate) bool) api.Rate {
	t.Helper()
	client := s.client()
	var last api.Rates
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var err error
		if last, err = client.Rates(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		for _, r := range last.Rates {
			if r.Level == "campaign" && r.Campaign == campaign && is(r) {
				return r
			}
		}
	}
	t.Fatalf("waited in vain: %+v", last)
	return api.Rate{}
}

func inState(want string) func(api.Rate) bool {
	return func(r api.Rate) bool { return r.State == want }
}

// rateEvents returns the events of that type about campaigns, up to one with
// that action.
func rateEvents(t *testing.T, d *daemon, action string) []event.Event {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		found := readRateEvents(t, d)
		if len(found) > 0 && found[len(found)-1].Rate.Action == action {
			return found
		}
	}
	t.Fatalf("no event with the action %s", action)
	return nil
}

func readRateEvents(t *testing.T, d *daemon) []event.Event {
	t.Helper()
	records, err := d.events.Read(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	var found []event.Event
	for _, r := range records {
		if r.Event.Type == event.RateExceeded && r.Event.Rate.Level == "campaign" {
			found = append(found, r.Event)
		}
	}
	return found
}

// TestCampaignIsHeldByItself proves the whole way on the wire: refusals of
// addresses hold their campaign and no other, with an event and a reason;
// refusals for what the message is do not; and what the operator releases goes
// and is not held again for what was before.
func TestCampaignIsHeldByItself(t *testing.T) {
	s := ratesSite(t, "")
	d, log := s.started()
	hand(t, s, "blocked", "spam", 0, 30)
	hand(t, s, "bad", "reader", 0, 20)
	awaitRate(t, s, "bad", func(r api.Rate) bool { return r.Delivered == 20 })
	hand(t, s, "bad", "gone", 0, 10)
	held := awaitRate(t, s, "bad", inState("held"))
	if held.Bounces.Percent < 10 || held.Bounces.Count < 3 || held.Reason == "" || held.Since.IsZero() {
		t.Errorf("%+v", held)
	}
	events := rateEvents(t, d, "hold")
	last := events[len(events)-1]
	if len(events) != 2 || events[0].Rate.Action != "warn" || last.Rate.Action != "hold" || last.Rate.Hold != held.Hold ||
		last.Reason != held.Reason || last.Tenant != "shop" || last.Campaign != "bad" || last.Recipient != "" || last.Rate.Threshold != 10 {
		t.Errorf("%+v", events)
	}
	log.await(t, "rate exceeded")

	hand(t, s, "bad", "reader", 100, 110)
	hand(t, s, "good", "reader", 200, 210)
	awaitRate(t, s, "good", func(r api.Rate) bool { return r.Delivered == 10 })
	page, err := s.client().List(t.Context(), api.ListRequest{})
	if err != nil || len(page.Recipients) != 10 || page.Recipients[0].Held != held.Reason {
		t.Fatalf("%+v, %v", page, err)
	}
	blocked := awaitRate(t, s, "blocked", func(r api.Rate) bool { return r.Blocked == 30 })
	if blocked.State == "held" || blocked.Bounces.Count != 0 || blocked.Bounces.Sample != 30 {
		t.Errorf("%+v", blocked)
	}

	if _, err := s.client().Release(t.Context(), held.Hold); err != nil {
		t.Fatal(err)
	}
	awaitRate(t, s, "bad", func(r api.Rate) bool { return r.Delivered == 10 && r.State == "few" && !r.Released.IsZero() })
	hand(t, s, "bad", "reader", 300, 320)
	awaitRate(t, s, "bad", func(r api.Rate) bool { return r.Delivered == 30 })
	hand(t, s, "bad", "gone", 300, 301)
	awaitRate(t, s, "bad", func(r api.Rate) bool { return r.State == "ok" && r.Bounces.Count == 1 })
	if holds, err := s.client().Holds(t.Context()); err != nil || len(holds) != 0 {
		t.Errorf("held again: %+v, %v", holds, err)
	}
	hand(t, s, "bad", "gone", 400, 410)
	if again := awaitRate(t, s, "bad", inState("held")); again.Hold == held.Hold || again.Bounces.Count > 11 {
		t.Errorf("%+v", again)
	}
}

// TestMailWithoutACampaignHoldsItsStream proves what is held where a message
// names no campaign.
func TestMailWithoutACampaignHoldsItsStream(t *testing.T) {
	s := ratesSite(t, "bounce_act = 50")
	s.started()
	hand(t, s, "", "gone", 0, 20)
	held := awaitRate(t, s, "", inState("held"))
	holds, err := s.client().Holds(t.Context())
	if err != nil || len(holds) != 1 || holds[0].ID != held.Hold || holds[0].Selector != (api.Selector{Tenant: "shop", Stream: "marketing"}) || held.Bounces.Act != 50 {
		t.Errorf("%+v, %+v, %v", held, holds, err)
	}
}

// TestCampaignIsSlowed proves that a pause is a throttle like others: it keeps
// the campaign's mail here, can be listed and lifted, and a restart does not
// forget it.
func TestCampaignIsSlowed(t *testing.T) {
	s := ratesSite(t, `rate_action = "slow"`)
	d, _ := s.started()
	hand(t, s, "bad", "gone", 0, 20)
	slowed := awaitRate(t, s, "bad", inState("slowed"))
	hand(t, s, "bad", "reader", 0, 1)
	hand(t, s, "good", "reader", 1, 2)
	awaitRate(t, s, "good", func(r api.Rate) bool { return r.Delivered == 1 })
	if e := awaitEvent(t, d, event.Deferred); e.Campaign != "bad" || !strings.Contains(e.Reason, slowed.Reason) || e.Attempt != 0 && e.NextAttempt.Before(slowed.Until) {
		t.Errorf("%+v", e)
	}
	for campaign, want := range map[string]string{"bad": "all sites, campaign: " + slowed.Reason, "good": ""} {
		hand(t, s, campaign, "later", 0, 1)
		page, err := s.client().Why(t.Context(), api.ListRequest{Selector: api.Selector{Campaign: campaign}})
		text := fmt.Sprintf("%+v", page.Recipients)
		if err != nil || want != "" && !strings.Contains(text, want) || want == "" && strings.Contains(text, "all sites") {
			t.Errorf("%s: %s, %v", campaign, text, err)
		}
	}
	throttles, err := s.client().Throttles(t.Context())
	if err != nil || len(throttles) != 1 || throttles[0].Site != "*" || throttles[0].Campaign != "bad" || throttles[0].Reason != slowed.Reason || !throttles[0].Until.Equal(slowed.Until) {
		t.Errorf("%+v, %v", throttles, err)
	}
	events := rateEvents(t, d, "slow")
	if last := events[len(events)-1].Rate; last.Action != "slow" || !last.Until.Equal(slowed.Until) || last.Hold != "" {
		t.Errorf("%+v", last)
	}
	again := shape.New(shape.Options{})
	(&rateKeeper{shaper: again}).pauseAgain(d.rates, time.Now())
	if _, blocked := again.Blocked(time.Now(), shape.Target{Site: "x"}, "shop", "bad"); !blocked {
		t.Error("a restart forgets the pause")
	}
	if lifted, err := s.client().Lift(t.Context(), api.LiftRequest{Site: "*", Name: "campaign"}); err != nil || lifted.Throttles != 1 {
		t.Errorf("%+v, %v", lifted, err)
	}
	awaitRate(t, s, "bad", func(r api.Rate) bool { return r.State == "few" && r.Bounces.Count == 0 && r.Until.IsZero() })
}

// TestComplaintsAreWatched proves that a complaint that the log completes counts
// for its campaign.
func TestComplaintsAreWatched(t *testing.T) {
	s := ratesSite(t, "complaint_act = 4")
	d, _ := s.started()
	hand(t, s, "news", "reader", 0, 25)
	awaitRate(t, s, "news", func(r api.Rate) bool { return r.Complaints.Sample == 25 })
	delivered := awaitEvent(t, d, event.Delivered)
	complaint := event.Event{ID: "c", Type: event.Complained, Time: time.Now().UTC(), Message: delivered.Message, Index: delivered.Index}
	if err := d.store.Record(t.Context(), []event.Event{complaint}); err != nil {
		t.Fatal(err)
	}
	if held := awaitRate(t, s, "news", inState("held")); held.Complaints.Count != 1 || held.Complaints.Percent != 4 {
		t.Errorf("%+v", held)
	}
}

// TestRatesOff proves that nothing is watched where that is asked for.
func TestRatesOff(t *testing.T) {
	s := newSite(t, basic+"[rates]\nenabled = false\n")
	s.started()
	var failure *api.Error
	if _, err := s.client().Rates(t.Context(), ""); !errors.As(err, &failure) || failure.Status != http.StatusNotFound {
		t.Errorf("answered %v", err)
	}
	if _, err := s.client().Release(t.Context(), holdID(time.Now(), "x")); !errors.As(err, &failure) || failure.Status != http.StatusNotFound {
		t.Errorf("answered %v", err)
	}
}

// TestRateRules proves which rules hold for which stream, and that a reload
// changes them.
func TestRateRules(t *testing.T) {
	s := ratesSite(t, "complaint_act = 0.05\nbounce_act = 20")
	d, _ := s.started()
	want := watch.Rules{Bounces: watch.Limits{Warn: 5, Act: 20}, Complaints: watch.Limits{Warn: 0.05, Act: 0.05}, Minimum: 20, Action: watch.Hold}
	if got := d.rateRules("shop", "marketing"); got != want {
		t.Errorf("%+v", got)
	}
	usual := watch.Rules{Bounces: watch.Limits{Warn: 5, Act: 10}, Complaints: watch.Limits{Warn: 0.1, Act: 0.3}, Minimum: 20, Action: watch.Warn}
	if got := d.rateRules("shop", "transactional"); got != usual {
		t.Errorf("%+v", got)
	}
	usual.Action = ""
	if got := d.rateRules("shop", ""); got != usual {
		t.Errorf("%+v", got)
	}
	s.write("postrider.toml", basic+"[[tenant]]\nname = \"shop\"\n[[tenant.stream]]\nname = \"marketing\"\nrate_action = \"slow\"\n[rates]\nbounce_warn = 1\n")
	if err := s.client().Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	want = watch.Rules{Bounces: watch.Limits{Warn: 1, Act: 10}, Complaints: watch.Limits{Warn: 0.1, Act: 0.3}, Minimum: 500, Action: watch.Slow}
	if got := d.rateRules("shop", "marketing"); got != want {
		t.Errorf("after a reload: %+v", got)
	}
	var failure *api.Error
	if _, err := s.client().Rates(t.Context(), "shpo"); !errors.As(err, &failure) || failure.Status != http.StatusUnprocessableEntity {
		t.Errorf("answered %v", err)
	}
}

// TestRateMetrics proves that labels are names of the configuration alone.
func TestRateMetrics(t *testing.T) {
	s := ratesSite(t, "")
	d, _ := s.started()
	for n := range 25 {
		for _, names := range [][2]string{{"shop", "marketing"}, {"shop", "former"}, {"stranger", "marketing"}} {
			e := event.Event{ID: fmt.Sprint(names, n), Type: event.Bounced, Time: time.Now(), Tenant: names[0], Stream: names[1], Category: "invalid_recipient", Attempt: 1, Site: "site.example", Recipient: "a@b.example"}
			if err := d.store.Record(t.Context(), []event.Event{e}); err != nil {
				t.Fatal(err)
			}
		}
	}
	awaitRate(t, s, "", inState("held"))
	expected := `# HELP postrider_rates_exceeded_total Shares that passed a threshold, by what followed.
# TYPE postrider_rates_exceeded_total counter
postrider_rates_exceeded_total{action="hold",of="bounces",stream="marketing",tenant="shop"} 1
postrider_rates_exceeded_total{action="warn",of="bounces",stream="",tenant="shop"} 1
postrider_rates_exceeded_total{action="warn",of="bounces",stream="marketing",tenant="shop"} 2
# HELP postrider_rates_bounced_ratio Share of hard bounces, where enough recipients are known; stream is empty for all of the tenant.
# TYPE postrider_rates_bounced_ratio gauge
postrider_rates_bounced_ratio{stream="",tenant="shop"} 1
postrider_rates_bounced_ratio{stream="marketing",tenant="shop"} 1
`
	if err := testutil.GatherAndCompare(d.metrics, strings.NewReader(expected), "postrider_rates_exceeded_total", "postrider_rates_bounced_ratio", "postrider_rates_complained_ratio"); err != nil {
		t.Error(err)
	}
}

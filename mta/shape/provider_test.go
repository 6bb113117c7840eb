package shape

import (
	"fmt"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
)

func shipped(t testing.TB) *Providers {
	t.Helper()
	providers, err := ShippedProviders()
	if err != nil {
		t.Fatalf("the shipped rules:\n%v", err)
	}
	return providers
}

func categorizer() func(mail.Reply) string {
	classifier := bounce.New()
	return func(reply mail.Reply) string { return string(classifier.Classify(reply).Category) }
}

// firing is a shaper to which a rule's sample was reported.
type firing struct {
	*testing.T
	shaper *Shaper
	to     Target
	now    time.Time
}

// fire reports a reply as often as the rule waits for, as delivery would: over
// as many connections as there are, at the pace that earlier rules leave. It
// returns the last reaction.
func fire(t *testing.T, providers *Providers, r *Rule, reply mail.Reply) (*firing, Reaction) {
	t.Helper()
	s := New(Options{Providers: providers, Categorize: categorizer(), Random: steady})
	site, ok := providers.Site("example.org", r.Exchanger)
	if !ok {
		site = "example.net"
	}
	f := &firing{t, s, Target{Source: "s", Site: site, Route: r.Exchanger}, start()}
	limit := s.Limits(site).Connections
	first, _ := s.Connect(f.now, f.to)
	first.Establish()
	for range limit {
		first.Succeed()
	}
	begun := f.now
	var last Reaction
	for left := r.After; left > 0; {
		left -= f.wave(min(left, limit), func(slot *Slot) {
			last = slot.Report(f.now, Outcome{Reply: reply, Tenant: "shop", Campaign: "spring"})
		})
		if f.now.Sub(begun) >= r.Within && left > 0 {
			t.Fatalf("%d matches take longer than %v: last %+v", r.After, r.Within, last)
		}
	}
	return f, last
}

// wave sends messages over as many connections, awaits none of the answers
// before all are sent, and returns how many there were.
func (f *firing) wave(most int, answer func(*Slot)) int {
	f.Helper()
	var slots []*Slot
	for range most {
		slot, wait := f.shaper.Connect(f.now, f.to)
		if slot == nil {
			f.now = f.now.Add(wait)
			break
		}
		slot.Establish()
		for wait := slot.Take(f.now); wait > 0; wait = slot.Take(f.now) {
			f.now = f.now.Add(wait)
		}
		slots = append(slots, slot)
	}
	for _, slot := range slots {
		answer(slot)
		slot.Succeed()
		slot.Close(f.now)
	}
	return len(slots)
}

// TestEveryRuleFires sends each sample of each rule through the whole way: the
// provider by its mail exchanger, the category by the classifier, the rules in
// their order, the throttle that is listed, and its end.
func TestEveryRuleFires(t *testing.T) {
	providers := shipped(t)
	for _, owner := range append([]*Provider{nil}, pointers(providers.All())...) {
		rules := providers.General()
		if owner != nil {
			rules = owner.Rules
		}
		for i := range rules {
			r := &rules[i]
			if len(r.Samples) == 0 || r.Exchanger == "" {
				t.Errorf("%s has no sample or no exchanger", r)
			}
			if owner != nil {
				if found, ok := providers.Find("example.org", r.Exchanger); !ok || found.Name != owner.Name {
					t.Errorf("%s: the exchanger %s leads elsewhere", r, r.Exchanger)
				}
			}
			for _, sample := range r.Samples {
				t.Run(fmt.Sprint(r, "/", sample.Code), func(t *testing.T) { testRule(t, providers, r, sample) })
			}
		}
	}
}

func pointers(all []Provider) []*Provider {
	var list []*Provider
	for i := range all {
		list = append(list, &all[i])
	}
	return list
}

func testRule(t *testing.T, providers *Providers, r *Rule, sample mail.Reply) {
	f, last := fire(t, providers, r, sample)
	if last.Rule != r.String() {
		t.Fatalf("%q goes to %q (category %s)", sample, last.Rule, categorizer()(sample))
	}
	if last.Decision != r.decision() {
		t.Errorf("decision %d, want %d", last.Decision, r.decision())
	}
	action := r.lasting()
	if action == "" {
		if last.Throttle != (Throttle{}) {
			t.Errorf("throttle %+v", last.Throttle)
		}
		return
	}
	listed := f.listed(r, action, sample)
	if action == PauseSite && f.shaper.Paused(f.now, f.to) == 0 {
		t.Error("the site is not paused")
	}
	f.blocked(r, action)
	if f.shaper.Lift(f.now, f.to.Site, r.String()) != 1 || find(f.shaper.Throttles(f.now), r.String()) != nil {
		t.Error("cannot be lifted")
	}
	again, _ := fire(t, providers, r, sample)
	if after := listed.Until.Add(time.Nanosecond); find(again.shaper.Throttles(after), r.String()) != nil {
		t.Errorf("still in force after its end %v", listed.Until)
	}
}

// listed checks how the throttle is told of.
func (f *firing) listed(r *Rule, action Action, sample mail.Reply) Throttle {
	f.Helper()
	names := map[Action]string{
		SlowDown: ThrottleSlow, FewerConnections: ThrottleConnections, PauseSite: ThrottlePause,
		PauseTenant: ThrottleTenant, PauseCampaign: ThrottleCampaign,
	}
	listed := find(f.shaper.Throttles(f.now), r.String())
	if listed == nil || listed.Name != names[action] {
		f.Fatalf("not listed: %+v", f.shaper.Throttles(f.now))
	}
	if listed.Cause != sample || listed.Reason == "" || !listed.Until.After(f.now) || listed.Site != f.to.Site {
		f.Errorf("throttle %+v", listed)
	}
	return *listed
}

// blocked checks whom of the tenants the throttle holds for.
func (f *firing) blocked(r *Rule, action Action) {
	f.Helper()
	blocked, isBlocked := f.shaper.Blocked(f.now, f.to, "shop", "spring")
	if want := action == PauseTenant || action == PauseCampaign; isBlocked != want || want && blocked.Rule != r.String() {
		f.Errorf("blocked %t: %+v", isBlocked, blocked)
	}
	if _, other := f.shaper.Blocked(f.now, f.to, "other", "spring"); other {
		f.Error("another tenant is blocked")
	}
	if _, other := f.shaper.Blocked(f.now, f.to, "shop", "summer"); other != (action == PauseTenant) {
		f.Errorf("another campaign blocked: %t", other)
	}
}

// TestOnlyBouncesSpeakOfAddresses: what a provider has against us is no reason
// to give an address up.
func TestOnlyBouncesSpeakOfAddresses(t *testing.T) {
	classifier := bounce.New()
	providers := shipped(t)
	for _, p := range providers.All() {
		for _, r := range p.every {
			for _, sample := range r.Samples {
				if class := classifier.Classify(sample); class.Permanent && class.SpeaksOfAddress() && !r.does(BounceRecipient) {
					t.Errorf("%s: %q is %+v", r, sample, class)
				}
			}
		}
	}
}

func find(all []Throttle, rule string) *Throttle {
	for i := range all {
		if all[i].Rule == rule {
			return &all[i]
		}
	}
	return nil
}

// TestEveryProviderIsThere holds the list of large providers.
func TestEveryProviderIsThere(t *testing.T) {
	providers := shipped(t)
	for exchanger, want := range map[string]string{
		"gmail-smtp-in.l.google.com": "google", "ASPMX.L.GOOGLE.COM.": "google", "aspmx3.googlemail.com": "google",
		"mta7.am0.yahoodns.net": "yahoo", "mailin-01.mx.aol.com": "yahoo", "mx-apac.mail.gm0.yahoodns.net": "yahoo",
		"hotmail-com.olc.protection.outlook.com": "outlook", "eur.olc.protection.outlook.com": "outlook",
		"example-com.mail.protection.outlook.com": "microsoft365", "example-com.a-v1.mx.microsoft": "microsoft365",
		"mx01.mail.icloud.com": "apple", "mx2.mxge.comcast.net": "comcast",
		"mx00.gmx.net": "gmx", "mx-ha03.web.de": "gmx", "mx01.mail.com": "gmx",
		"smtp-in.orange.fr": "orange", "mx1.mail.yahoo.co.jp": "yahoo_japan", "mx3.qq.com": "qq",
		"163mx02.mxmail.netease.com": "netease", "eu-smtp-inbound-1.mimecast.com": "mimecast",
		"d2.ess.barracudanetworks.com": "barracuda", "mxa-001.gslb.pphosted.com": "proofpoint", "mx1-us1.ppe-hosted.com": "proofpoint",
	} {
		if found, ok := providers.Find("example.org", exchanger); !ok || found.Name != want {
			t.Errorf("%s belongs to %+v, want %s", exchanger, found, want)
		}
	}
	for _, exchanger := range []string{"notgoogle.com", "google.com.example.net", "com", "", "mx.example.net", "protection.outlook.com"} {
		if found, ok := providers.Find("example.org", exchanger); ok {
			t.Errorf("%q belongs to %s", exchanger, found.Name)
		}
	}
	if site, _ := providers.Site("qq.com", "mx.example.net"); site != "qq.com" {
		t.Errorf("qq.com is of the site %q", site)
	}
}

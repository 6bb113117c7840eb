package shape

import (
	"fmt"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// reacting is a shaper with a provider "big" that has these rules, and a
// connection to it.
func reacting(t *testing.T, rules string) (*Shaper, *Slot) {
	t.Helper()
	providers, err := (*Providers)(nil).Override("rules", []byte("[[provider]]\nname = \"big\"\nmx = \"big.example\"\n"+rules))
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Providers: providers, Random: steady})
	slot, _ := s.Connect(start(), big())
	slot.Establish()
	return s, slot
}

func said(code int, text string) Outcome {
	return Outcome{Reply: mail.Reply{Code: code, Text: text}, Category: "unknown", Tenant: "shop", Campaign: "spring"}
}

const hardAndMild = `
[[provider.rule]]
name = "hard"
text = "no"
action = ["pause_site", "retry"]
after = 3
within = "10m"
for = "1h"
reason = "no and no"

[[provider.rule]]
name = "mild"
text = "no"
action = "slow_down"
for = "1m"
reason = "no"
`

func TestMildRuleStandsBehindAHardOne(t *testing.T) {
	s, slot := reacting(t, hardAndMild)
	now := start()
	for i, want := range []string{"big/mild", "big/mild", "big/hard"} {
		now = now.Add(slot.Wait(now))
		if slot.Take(now) > 0 {
			t.Fatal("no message may go")
		}
		reaction := slot.Report(now, said(550, fmt.Sprint("no ", i)))
		if reaction.Rule != want || reaction.Decision != Retry {
			t.Errorf("reply %d: %+v, want %s", i, reaction, want)
		}
		slot.Succeed()
		now = now.Add(3 * time.Minute)
	}
	if s.Paused(now, big()) == 0 || slot.Take(now) == 0 {
		t.Error("not paused")
	}
}

func TestMatchesOutsideOfTheWindowDoNotCount(t *testing.T) {
	s, slot := reacting(t, hardAndMild)
	now := start()
	for i := range 10 {
		now = now.Add(6 * time.Minute)
		slot.Take(now)
		if reaction := slot.Report(now, said(421, fmt.Sprint("no ", i))); reaction.Rule != "big/mild" {
			t.Fatalf("reply %d: %+v", i, reaction)
		}
		slot.Succeed()
		now = now.Add(time.Minute)
		slot.Take(now)
		slot.Report(now, Outcome{Reply: taken()})
		slot.Succeed()
	}
	if s.Paused(now, big()) > 0 {
		t.Errorf("paused for %v", s.Paused(now, big()))
	}
}

// TestOneAnswerCountsOnce: a hundred recipients of one message are refused
// together, and the session ends by the same reply.
func TestOneAnswerCountsOnce(t *testing.T) {
	s, slot := reacting(t, hardAndMild)
	now := start()
	slot.Take(now)
	for range 100 {
		slot.Report(now, said(421, "no"))
	}
	slot.Fail(now, "ended", mail.Reply{Code: 421, Text: "no"})
	slot.Close(now)
	all := s.Throttles(now)
	if len(all) != 1 || all[0].Name != ThrottleSlow || all[0].Rule != "big/mild" {
		t.Errorf("throttles %+v", all)
	}
}

// TestRefusalsUnderWayCutOnce: what was sent before the pace was cut says
// nothing of the new one.
func TestRefusalsUnderWayCutOnce(t *testing.T) {
	s, slot := reacting(t, hardAndMild)
	now := start()
	for range 8 {
		slot.Take(now)
	}
	pace := func() float64 { return s.sites[siteKey{"fresh", "big.example"}].perSecond(now) }
	slot.Report(now, said(421, "yes or no"))
	slot.Succeed()
	first := pace()
	for i := range 2 {
		slot.Report(now, said(421, fmt.Sprint("no ", i)))
		slot.Succeed()
	}
	if first == 0 || pace() != first {
		t.Errorf("%v after one refusal, %v after those sent with it", first, pace())
	}
}

func TestRulesOnTenantsNeedOne(t *testing.T) {
	s, slot := reacting(t, `
[[provider.rule]]
name = "campaign"
code = "4xx"
action = "pause_campaign"
reason = "r"
[[provider.rule]]
name = "otherwise"
code = "4xx"
action = "none"
reason = "r"
`)
	slot.Take(start())
	if reaction := slot.Report(start(), Outcome{Reply: mail.Reply{Code: 450}, Tenant: "shop"}); reaction.Rule != "big/otherwise" {
		t.Errorf("without a campaign: %+v", reaction)
	}
	slot.Succeed()
	slot.Take(start())
	reaction := slot.Report(start(), said(450, "x"))
	if _, blocked := s.Blocked(start(), big(), "shop", "spring"); !blocked || reaction.Throttle.Campaign != "spring" {
		t.Errorf("with a campaign: %+v", reaction)
	}
	if slot.Wait(start()) > 0 {
		t.Error("the site is paused too")
	}
}

// TestWhatARuleExplainsIsNoFailure: a server that ends sessions for a reason
// that a rule knows keeps its connections; one that ends them before any mail
// was taken is left alone all the same.
func TestWhatARuleExplainsIsNoFailure(t *testing.T) {
	s, slot := reacting(t, "[[provider.rule]]\nname = \"enough\"\ntext = \"enough\"\naction = \"none\"\nreason = \"r\"\n")
	now := start()
	enough := mail.Reply{Code: 421, Text: "enough for one connection"}
	for range 5 {
		slot.Take(now)
		slot.Succeed()
	}
	slot.Fail(now, "ended", enough)
	if all := s.Throttles(now); len(all) != 0 {
		t.Errorf("throttles %+v", all)
	}
	slot.Close(now)
	empty, _ := s.Connect(now, big())
	empty.Establish()
	empty.Fail(now, "ended", enough)
	empty.Close(now)
	if s.Paused(now, big()) == 0 {
		t.Error("a server that takes nothing is asked again at once")
	}
}

// TestPauseEndsByGrowing: after a pause the site is not met with all there is.
func TestPauseEndsByGrowing(t *testing.T) {
	s, slot := reacting(t, hardAndMild)
	now := start()
	for range 30 {
		slot.Take(now)
		slot.Succeed()
	}
	for i := range 3 {
		now = now.Add(slot.Wait(now))
		slot.Take(now)
		slot.Report(now, said(550, fmt.Sprint("no ", i)))
		slot.Succeed()
	}
	slot.Close(now)
	now = now.Add(s.Paused(now, big()))
	first, _ := s.Connect(now, big())
	if first == nil {
		t.Fatal("still paused")
	}
	if second, _ := s.Connect(now, big()); second != nil {
		t.Error("two connections at once after a pause")
	}
}

// TestThrottlesAreForgottenWhenOver: nothing is forgotten before it has grown
// back, and everything after.
func TestThrottlesAreForgottenWhenOver(t *testing.T) {
	s, slot := reacting(t, hardAndMild+`
[[provider.rule]]
name = "tenant"
text = "tenant"
action = "pause_tenant"
for = "1h"
reason = "r"
`)
	now := start()
	for _, text := range []string{"no", "tenant"} {
		slot.Take(now)
		slot.Report(now, said(450, text))
		slot.Succeed()
	}
	slot.Close(now)
	if len(s.sites) != 1 {
		t.Fatal("a site is forgotten with its pace")
	}
	pace := find(s.Throttles(now), "big/mild")
	for _, at := range []time.Time{pace.Until.Add(-time.Second), pace.Until.Add(time.Hour)} {
		other, _ := s.Connect(at, target("other"))
		other.Close(at)
		s.Throttles(at)
		if known := len(s.sites); (known == 1) != at.Before(pace.Until) {
			t.Errorf("%d sites are known at %v, the pace is whole at %v", known, at, pace.Until)
		}
	}
	if n := s.blocks.count.Load(); n != 0 {
		t.Errorf("%d pauses of tenants are kept", n)
	}
}

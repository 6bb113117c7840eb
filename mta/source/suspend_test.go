package source

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

func bindFailure() Suspension {
	return Suspension{Source: "a", Name: SuspendedBind, Reason: "cannot assign requested address"}
}

func TestSuspendedIsProbedOnce(t *testing.T) {
	s := made(t, Options{Pools: single("a")})
	now := start()
	for _, want := range []time.Duration{10, 20, 40, 80, 160, 300, 300} {
		until := s.Suspend(now, bindFailure())
		if got := until.Sub(now); got != want*time.Second {
			t.Fatalf("pause %v, want %vs", got, int(want))
		}
		if e := refused(t, s, until.Add(-1), message(1)); !e.Until.Equal(until) {
			t.Errorf("until %v, want %v", e.Until, until)
		}
		now = until
		if c := choose(t, s, now, message(1)); !c.Probe {
			t.Error("not marked as a probe")
		}
		if e := refused(t, s, now, message(2)); !e.Until.Equal(now.Add(10 * time.Second)) {
			t.Errorf("beside a probe: until %v", e.Until)
		}
	}
	s.Connected(now, "a", "google.com", IPv4)
	if c := choose(t, s, now, message(2)); c.Probe || len(s.Suspensions(now)) != 0 {
		t.Error("still suspended")
	}
}

func TestProbeWithoutResultIsRepeated(t *testing.T) {
	s := made(t, Options{Pools: single("a"), ProbeTimeout: time.Minute})
	now := s.Suspend(start(), bindFailure())
	choose(t, s, now, message(1))
	refused(t, s, now.Add(time.Minute-1), message(2))
	if c := choose(t, s, now.Add(time.Minute), message(2)); !c.Probe {
		t.Error("no second probe")
	}
}

func TestFailuresOfOneIncidentCountOnce(t *testing.T) {
	s := made(t, Options{})
	now := start()
	until := s.Suspend(now, bindFailure())
	for range 5 {
		now = now.Add(time.Second)
		if again := s.Suspend(now, bindFailure()); !again.Equal(until) {
			t.Errorf("end moved from %v to %v", until, again)
		}
	}
	later := now.Add(time.Hour)
	what := bindFailure()
	what.Until = later
	if got := s.Suspend(now, what); !got.Equal(later) {
		t.Errorf("an end that was given: %v", got)
	}
	if got := s.Suspensions(now); len(got) != 1 || got[0].Failures != 1 {
		t.Errorf("%+v", got)
	}
}

func TestSuspendedForOneSite(t *testing.T) {
	s := made(t, Options{Pools: single("a")})
	now := start()
	cause := mail.Reply{Code: 550, Enhanced: mail.EnhancedCode{Class: 5, Subject: 7, Detail: 1}, Text: "listed"}
	until := s.Suspend(now, Suspension{Source: "a", Site: "google.com", Name: SuspendedBlocked, Reason: "block list", Cause: cause})
	if until.Sub(now) != time.Hour {
		t.Errorf("blocked for %v", until.Sub(now))
	}
	refused(t, s, now, message(1))
	choose(t, s, now, Request{Site: "yahoodns.net"})
	got := s.Suspensions(now)
	if len(got) != 1 || got[0].Cause != cause || got[0].Site != "google.com" || !got[0].Since.Equal(now) || got[0].Probing {
		t.Errorf("%+v", got)
	}
	choose(t, s, until, message(1))
	if got := s.Suspensions(until); len(got) != 1 || !got[0].Probing {
		t.Errorf("%+v", got)
	}
	s.Connected(until, "a", "google.com", IPv4)
	s.Delivered(until, "a", "yahoodns.net", IPv4)
	refused(t, s, until, message(2)) // neither says that the site takes mail
	s.Delivered(until, "a", "google.com", IPv4)
	choose(t, s, until, message(2))
}

func TestSuccessDoesNotEndWhatIsInForce(t *testing.T) {
	s := made(t, Options{Pools: single("a")})
	now := start()
	s.Suspend(now, bindFailure())
	s.Delivered(now, "a", "google.com", IPv4)
	refused(t, s, now, message(1))
}

func TestSuspendedOverOneFamily(t *testing.T) {
	s := made(t, Options{Pools: single("a")})
	now := start()
	what := bindFailure()
	what.Families = IPv6
	until := s.Suspend(now, what)
	if c := choose(t, s, now, message(1)); c.Families != IPv4 || c.Probe {
		t.Errorf("%v", c.Families)
	}
	e := refused(t, s, now, Request{Preference: OnlyIPv6})
	if !strings.Contains(e.Error(), "suspended over IPv6 (cannot assign") {
		t.Error(e)
	}
	if c := choose(t, s, until, message(1)); c.Families != Both || !c.Probe {
		t.Errorf("%v, probe %v", c.Families, c.Probe)
	}
	if c := choose(t, s, until, message(2)); c.Families != IPv4 || c.Probe {
		t.Errorf("beside the probe: %v, probe %v", c.Families, c.Probe)
	}
	s.Connected(until, "a", "google.com", IPv4)
	if c := choose(t, s, until, message(2)); c.Families != IPv4 {
		t.Error("a connection over IPv4 speaks for IPv6")
	}
	s.Connected(until, "a", "google.com", IPv6)
	if c := choose(t, s, until, message(2)); c.Families != Both {
		t.Error("still suspended")
	}
}

func TestOperator(t *testing.T) {
	s := made(t, Options{Pools: single("a")})
	now := start()
	what := Suspension{Source: "a", Name: SuspendedOperator, Reason: "moving"}
	if until := s.Suspend(now, what); !until.IsZero() {
		t.Errorf("ends %v", until)
	}
	s.Suspend(now, bindFailure())
	if e := refused(t, s, now.Add(1000*time.Hour), message(1)); !e.Until.IsZero() {
		t.Errorf("until %v", e.Until)
	}
	what.Until = now.Add(time.Hour)
	s.Suspend(now, what)
	s.Lift("a", "", SuspendedBind)
	refused(t, s, now.Add(time.Hour-1), message(1))
	if c := choose(t, s, now.Add(time.Hour), message(1)); c.Probe || len(s.Suspensions(now.Add(time.Hour))) != 0 {
		t.Error("an operator's suspension needs no probe")
	}
}

func TestLift(t *testing.T) {
	s := made(t, Options{})
	now := start()
	for _, source := range []string{"a", "b"} {
		s.Suspend(now, Suspension{Source: source, Name: SuspendedBind})
		s.Suspend(now, Suspension{Source: source, Site: "google.com", Name: SuspendedBlocked})
		s.Suspend(now, Suspension{Source: source, Site: "yahoodns.net", Name: SuspendedBlocked})
	}
	for _, step := range []struct {
		source, site, name string
		want               int
	}{
		{"c", "", "", 0},
		{"a", "google.com", SuspendedBind, 0},
		{"a", "google.com", "", 1},
		{"a", "", SuspendedBlocked, 1},
		{"", "yahoodns.net", "", 1},
		{"", "", "", 3},
	} {
		if got := s.Lift(step.source, step.site, step.name); got != step.want {
			t.Errorf("%+v: lifted %d", step, got)
		}
	}
	if left := s.Suspensions(now); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
}

func TestUnknownSourceIsNotSuspended(t *testing.T) {
	s := made(t, Options{})
	s.Suspend(start(), Suspension{Source: "z", Name: SuspendedBind})
	if got := s.Suspensions(start()); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestSuspensionsAreBounded(t *testing.T) {
	s := made(t, Options{MaxSuspensions: 100})
	now := start()
	for i := range 500 {
		s.Suspend(now, Suspension{Source: "a", Site: fmt.Sprint("site", i), Name: SuspendedBlocked, Until: now.Add(time.Hour + time.Duration(i)*time.Second)})
	}
	held := s.Suspensions(now)
	if len(held) != 100 || s.Forgotten() != 400 {
		t.Errorf("%d held, %d forgotten", len(held), s.Forgotten())
	}
	for _, one := range held {
		if one.Until.Sub(now) < time.Hour+400*time.Second {
			t.Errorf("%s is held, which ended first", one.Site)
		}
	}
	later := now.Add(time.Hour + 500*time.Second + rememberFor)
	if left := s.Suspensions(later); len(left) != 0 {
		t.Errorf("%d remembered a day after their end", len(left))
	}
	s.Suspend(later, bindFailure())
	if s.Forgotten() != 400 {
		t.Error("what was over counts as forgotten")
	}
}

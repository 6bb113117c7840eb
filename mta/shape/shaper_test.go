package shape

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

func start() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

func target(site string) Target { return Target{Source: "s", Site: site, Route: "mx." + site} }

func steady() float64 { return 0.5 }

func TestLimitsBySiteAndSuffix(t *testing.T) {
	s := New(Options{
		Default: Limits{Connections: 7},
		Sites: map[string]Limits{
			"example.net":    {Connections: 3},
			"mx.example.net": {Rate: Rate{10, time.Second}},
		},
	})
	for site, want := range map[string]int{
		"example.net": 3, "a.example.net": 3, "mx.example.net": 7, "badexample.net": 7, "other": 7, "": 7,
	} {
		if got := s.Limits(site).Connections; got != want {
			t.Errorf("%q: %d connections, want %d", site, got, want)
		}
	}
	if got := s.Limits("in.mx.example.net").Rate.Messages; got != 10 {
		t.Errorf("rate %d", got)
	}
}

func TestConnectionsAreBoundedPerSite(t *testing.T) {
	s := New(Options{Default: Limits{Connections: 2}})
	now := start()
	a, _ := s.Connect(now, Target{"s", "big", "one"})
	b, _ := s.Connect(now, Target{"s", "big", "two"})
	if a == nil || b == nil {
		t.Fatal("refused within the limit")
	}
	if c, wait := s.Connect(now, Target{"s", "big", "three"}); c != nil || wait != 0 {
		t.Errorf("third slot %v, wait %v", c, wait)
	}
	if c, _ := s.Connect(now, Target{"other", "big", "one"}); c == nil {
		t.Error("another source shares the limit")
	}
	a.Close(now)
	if c, _ := s.Connect(now, Target{"s", "big", "three"}); c == nil {
		t.Error("refused after a slot came free")
	}
}

// probe connects and fails, and returns the pause that follows.
func probe(t *testing.T, s *Shaper, now time.Time) time.Duration {
	t.Helper()
	slot, wait := s.Connect(now, target("d"))
	if slot == nil {
		t.Fatalf("no probe, wait %v", wait)
	}
	if second, _ := s.Connect(now, target("d")); second != nil {
		t.Error("two probes at once")
		second.Close(now)
	}
	slot.Fail(now, "refused", mail.Reply{Code: 421})
	slot.Close(now)
	return s.Paused(now, target("d"))
}

func TestBackoffGrowsAndProbesOnce(t *testing.T) {
	s := New(Options{Backoff: Backoff{First: time.Second, Factor: 2, Max: 5 * time.Second}, Random: steady})
	now := start()
	for _, want := range []time.Duration{1, 2, 4, 5, 5} {
		got := probe(t, s, now)
		if got != want*time.Second {
			t.Errorf("pause %v, want %vs", got, int(want))
		}
		if slot, wait := s.Connect(now.Add(got-1), target("d")); slot != nil || wait != 1 {
			t.Errorf("slot %v, wait %v within the pause", slot, wait)
		}
		now = now.Add(got)
	}
}

// established returns so many connections that carry mail.
func established(t *testing.T, s *Shaper, now time.Time, to Target, count int) []*Slot {
	t.Helper()
	var slots []*Slot
	for range count {
		slot, wait := s.Connect(now, to)
		if slot == nil {
			t.Fatalf("%d connections and no more, wait %v", len(slots), wait)
		}
		slot.Establish()
		slot.Succeed()
		slots = append(slots, slot)
	}
	return slots
}

func TestOneIncidentPausesOnce(t *testing.T) {
	s := New(Options{Backoff: Backoff{First: time.Second}, Random: steady})
	now := start()
	slots := established(t, s, now, target("d"), 1)
	for range 3 {
		slot, _ := s.Connect(now, target("d"))
		slots = append(slots, slot)
		slots[0].Succeed()
	}
	slots[0].Close(now)
	for _, slot := range slots[1:] {
		slot.Fail(now, "connection refused", mail.Reply{})
		slot.Close(now)
	}
	if got := s.Paused(now, target("d")); got != time.Second {
		t.Errorf("three connections of one incident pause for %v", got)
	}
}

func TestNewRouteIsTriedByOneConnection(t *testing.T) {
	s := New(Options{Default: Limits{Connections: 10}})
	now := start()
	slot, _ := s.Connect(now, target("d"))
	if second, wait := s.Connect(now, target("d")); second != nil || wait != 0 {
		t.Errorf("a second one, wait %v", wait)
	}
	slot.Establish()
	second, _ := s.Connect(now, target("d"))
	if third, _ := s.Connect(now, target("d")); second == nil || third != nil {
		t.Errorf("second %v, third %v after the server answered", second, third)
	}
	for range 8 {
		slot.Succeed()
	}
	established(t, s, now, target("d"), 8)
}

func TestProbesLeaveRoom(t *testing.T) {
	s := New(Options{MaxProbes: 3, Random: steady})
	now := start()
	for i := range 10 {
		slot, _ := s.Connect(now, target(fmt.Sprint("dead", i)))
		slot.Fail(now, "timed out", mail.Reply{})
		slot.Close(now)
	}
	now = now.Add(10 * time.Second)
	var probes []*Slot
	for i := range 10 {
		slot, wait := s.Connect(now, target(fmt.Sprint("dead", i)))
		if slot != nil {
			probes = append(probes, slot)
		} else if wait <= 0 || wait > 2*time.Second {
			t.Errorf("wait %v for a turn", wait)
		}
	}
	if len(probes) != 3 {
		t.Fatalf("%d probes at once", len(probes))
	}
	probes[0].Establish()
	probes[1].Close(now)
	for i := range 2 {
		if slot, _ := s.Connect(now, target(fmt.Sprint("dead", 5+i))); slot == nil {
			t.Errorf("no room for probe %d although one ended", i)
		}
	}
	if slot, _ := s.Connect(now, target("alive")); slot == nil {
		t.Error("probes keep others waiting")
	}
}

func TestGrowsBackGradually(t *testing.T) {
	s := New(Options{Default: Limits{Connections: 10}, Random: steady})
	now := start()
	probe0, _ := s.Connect(now, target("d"))
	probe0.Fail(now, "refused", mail.Reply{})
	probe0.Close(now)
	now = now.Add(s.Paused(now, target("d")))
	slot, _ := s.Connect(now, target("d"))
	slot.Establish()
	open := func() int {
		var slots []*Slot
		for {
			more, _ := s.Connect(now, target("d"))
			if more == nil {
				break
			}
			slots = append(slots, more)
		}
		for _, more := range slots {
			more.Close(now)
		}
		return 1 + len(slots)
	}
	before := open()
	for messages := range 100 {
		if n := open(); n < before || n > before+1 {
			t.Fatalf("%d connections after %d, at message %d", n, before, messages)
		} else {
			before = n
		}
		slot.Succeed()
	}
	if before != 10 {
		t.Errorf("%d connections after a hundred messages", before)
	}
}

// TestTurnedAwayBesideWorkingConnections: what holds goes on and is replaced
// at once; more is tried after a while, ever later.
func TestTurnedAwayBesideWorkingConnections(t *testing.T) {
	s := New(Options{Random: steady})
	now := start()
	working := established(t, s, now, target("d"), 3)
	var waits []time.Duration
	for range 4 {
		extra, _ := s.Connect(now, target("d"))
		if extra == nil {
			t.Fatal("no further connection is tried")
		}
		extra.Fail(now, "turned away", mail.Reply{Code: 421})
		extra.Close(now)
		if pause := s.Paused(now, target("d")); pause != 0 {
			t.Errorf("pause %v beside connections that work", pause)
		}
		working[0].Close(now)
		working = append(working[1:], established(t, s, now, target("d"), 1)...)
		tried := now
		for now = now.Add(time.Second); ; now = now.Add(time.Second) {
			if over, _ := s.Connect(now, target("d")); over != nil {
				over.Close(now)
				break
			}
		}
		waits = append(waits, now.Sub(tried).Round(time.Minute))
	}
	if want := []time.Duration{2 * time.Minute, 3 * time.Minute, 5 * time.Minute, 9 * time.Minute}; fmt.Sprint(waits) != fmt.Sprint(want) {
		t.Errorf("one more is tried after %v, want %v", waits, want)
	}
	working[0].Fail(now, "421 after messages", mail.Reply{Code: 421})
	if s.Paused(now, target("d")) > 0 {
		t.Error("a connection that had carried messages pauses the site")
	}
}

func TestSurplusIsAskedToGo(t *testing.T) {
	s := New(Options{})
	now := start()
	slots := established(t, s, now, target("d"), 5)
	s.Configure(Options{Default: Limits{Connections: 3}})
	going := 0
	for range 2 {
		going = 0
		for _, slot := range slots {
			if slot.Surplus(now) {
				going++
			}
		}
	}
	if going != 2 {
		t.Errorf("%d of 5 are asked to go for 3 to stay", going)
	}
}

func TestThrottlesAreListedAndLifted(t *testing.T) {
	s := New(Options{Default: Limits{Connections: 5, Rate: Rate{1, time.Minute}}, Random: steady})
	now := start()
	slot, _ := s.Connect(now, target("d"))
	if slot.Take(now) != 0 {
		t.Fatal("first message must wait")
	}
	slot.Fail(now, "connection refused", mail.Reply{Code: 421, Text: "busy"})
	slot.Close(now)
	names := map[string]Throttle{}
	for _, throttle := range s.Throttles(now) {
		names[throttle.Name] = throttle
	}
	if len(names) != 3 {
		t.Fatalf("throttles %+v", names)
	}
	backoff := names[ThrottleBackoff]
	if backoff.Cause.Code != 421 || backoff.Reason != "connection refused" || !backoff.Until.Equal(now.Add(10*time.Second)) {
		t.Errorf("back-off %+v", backoff)
	}
	if rate := names[ThrottleRate]; !rate.Until.Equal(now.Add(time.Minute)) {
		t.Errorf("rate %+v", rate)
	}
	if n := s.Lift(now, "elsewhere", ""); n != 0 {
		t.Errorf("lifted %d elsewhere", n)
	}
	if n := s.Lift(now, "d", ThrottleBackoff); n != 1 {
		t.Errorf("lifted %d back-offs", n)
	}
	if n := s.Lift(now, "d", ""); n != 2 {
		t.Errorf("lifted %d of the rest", n)
	}
	if left := s.Throttles(now); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
}

func TestForgetsWhatIsOver(t *testing.T) {
	s := New(Options{Idle: time.Hour, MaxSites: 1000, Default: Limits{Rate: Rate{100, time.Second}}})
	now := start()
	for i := range 5000 {
		slot, _ := s.Connect(now, target(fmt.Sprint("good", i)))
		slot.Close(now)
	}
	if n := len(s.sites); n != 0 {
		t.Errorf("%d sites remembered that nothing is known of", n)
	}
	for i := range 5000 {
		slot, _ := s.Connect(now, target(fmt.Sprint("bad", i)))
		slot.Fail(now, "refused", mail.Reply{})
		slot.Close(now)
		now = now.Add(time.Second)
	}
	if n := len(s.sites); n > 1001 {
		t.Errorf("%d sites remembered", n)
	}
	now = now.Add(2 * time.Hour)
	slot, _ := s.Connect(now, target("last"))
	slot.Close(now)
	if n := len(s.sites); n != 0 {
		t.Errorf("%d sites remembered after two hours", n)
	}
}

func TestRatesParse(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "100/s": 10 * time.Millisecond, "60/min": time.Second, "2/hour": 30 * time.Minute} {
		r, err := ParseRate(text)
		if err != nil || r.Interval() != want {
			t.Errorf("%q: %v, %v", text, r.Interval(), err)
		}
	}
	for _, text := range []string{"1", "0/s", "-1/s", "x/s", "1/day", "/", "1/s/s"} {
		if r, err := ParseRate(text); err == nil {
			t.Errorf("%q is taken for %v", text, r)
		}
	}
}

func TestConfigureHoldsAtOnce(t *testing.T) {
	s := New(Options{Default: Limits{Connections: 2, Rate: Rate{1, time.Hour}}})
	now := start()
	slot, _ := s.Connect(now, target("d"))
	slot.Establish()
	slot.Succeed()
	second, _ := s.Connect(now, target("d"))
	slot.Take(now)
	s.Configure(Options{Default: Limits{Connections: 4, Rate: Rate{1, time.Second}}})
	if third, _ := s.Connect(now, target("d")); third == nil {
		t.Error("the higher limit does not hold")
	}
	if wait := slot.Wait(now); wait > time.Second {
		t.Errorf("wait %v from a rate that was replaced", wait)
	}
	s.Configure(Options{Sites: map[string]Limits{"d": {Connections: 1}}})
	if slot.Take(now) != 0 || slot.Limits().Connections != 1 {
		t.Error("the site's own limits do not hold")
	}
	second.Close(now)
	if more, _ := s.Connect(now, target("d")); more != nil {
		t.Error("the lower limit does not hold")
	}
}

func TestConfigureBesideUse(t *testing.T) {
	s := New(Options{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 200 {
				if slot, _ := s.Connect(start(), target("d")); slot != nil {
					slot.Take(start())
					slot.Fail(start(), "refused", mail.Reply{})
					slot.Close(start())
				}
				s.Configure(Options{Default: Limits{Connections: 3}})
				s.Lift(start(), "d", "")
			}
		})
	}
	group.Wait()
}

package suppress

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const day = 24 * time.Hour

// seen makes observations, a position and a day apart.
type seen struct {
	t  testing.TB
	at uint64
	on time.Time
}

func newSeen(t testing.TB) *seen { return &seen{t: t, on: time.Now().Add(-100 * day)} }

func (s *seen) next(sign Sign, to string, later time.Duration) Observation {
	s.at++
	s.on = s.on.Add(later)
	return Observation{
		Sign: sign, Tenant: "acme", Address: address(s.t, to), Time: s.on, Position: s.at, Source: fmt.Sprintf("m-%d", s.at),
		Message: fmt.Sprintf("message %d", s.at),
	}
}

// back is a message that a server takes and then sends back.
func (s *seen) back(to string, later time.Duration) []Observation {
	taken, returned := s.next(SawDelivery, to, later), s.next(SawSoftBounce, to, time.Hour)
	returned.Message, returned.Late = taken.Message, true
	return []Observation{taken, returned}
}

func (f *fixture) observe(t testing.TB, all ...Observation) []Learned {
	t.Helper()
	learned, err := f.Observe(context.Background(), all)
	if err != nil {
		t.Fatal(err)
	}
	return learned
}

func TestBouncesAndComplaints(t *testing.T) {
	f, s := newTest(t), newSeen(t)
	hard, complaint := s.next(SawHardBounce, "one@example.com", day), s.next(SawComplaint, "two@example.com", day)
	all := []Observation{s.next(SawDelivery, "one@example.com", 0), hard, complaint, s.next(SawSoftBounce, "three@example.com", day)}
	for range 2 { // whoever tells it again hears the same
		learned := f.observe(t, all...)
		if len(learned) != 2 || learned[0].Observation != 1 || learned[1].Observation != 2 {
			t.Fatalf("learned %+v", learned)
		}
		if e := learned[0].Entry; e.Reason != HardBounce || e.Stream != "" || e.Source != hard.Source || e.Address.String() != "one@example.com" {
			t.Errorf("of the bounce: %+v", e)
		}
		if e := learned[1].Entry; e.Reason != Complaint {
			t.Errorf("of the complaint: %+v", e)
		}
	}
	again := s.next(SawHardBounce, "one@example.com", day)
	if learned := f.observe(t, again); len(learned) != 0 {
		t.Errorf("another bounce of one that is suppressed: %+v", learned)
	}
	if _, found := f.check(t, "acme", "transactional", "one@example.com"); !found {
		t.Error("the bounced one may be mailed")
	}
	if _, found := f.check(t, "acme", "transactional", "two@example.com"); found {
		t.Error("who complained gets no password reset")
	}
	if _, found := f.check(t, "acme", "marketing", "three@example.com"); found {
		t.Error("one soft bounce suppresses")
	}
}

func TestSoftBounces(t *testing.T) {
	const to = "one@example.com"
	for name, c := range map[string]struct {
		// s: soft, d: delivered, b: delivered and sent back; a letter is what
		// follows after a step.
		signs string
		step  time.Duration
		want  bool
	}{
		"four":                    {"ssss", 10 * day, false},
		"five over 16 days":       {"sssss", 4 * day, true},
		"five over 14 days":       {"sssss", 7 * day / 2, true},
		"five in a week":          {"sssss", day, false},
		"many over 14 days":       {"sssssssssssssss", day, true},
		"reset":                   {"ssssdssss", 4 * day, false},
		"reset, then enough":      {"ssssdsssss", 4 * day, true},
		"too far from each other": {"ss", 90 * day, false},
		"all sent back":           {"bbbbb", 4 * day, true},
		"sent back, too few":      {"bbbb", 10 * day, false},
		"some sent back":          {"sbsbs", 4 * day, true},
		"sent back after a reset": {"ssssdb", 4 * day, false},
		"reset, then sent back":   {"bbbdbbbb", 4 * day, false},
	} {
		f, s := newTest(t), newSeen(t)
		f.rules = f.rules.withDefaults()
		var all []Observation
		for _, sign := range c.signs {
			kind := SawSoftBounce
			if sign == 'd' {
				kind = SawDelivery
			}
			if sign == 'b' {
				all = append(all, s.back(to, c.step)...)
			} else {
				all = append(all, s.next(kind, to, c.step))
			}
			all = append(all, s.next(SawSoftBounce, "other@example.com", 0))
		}
		for _, o := range all {
			f.observe(t, o)
		}
		if got, found := f.check(t, "acme", "marketing", to); found != c.want || found && got.Reason != SoftBounce {
			t.Errorf("%s, one by one: %+v, %t", name, got, found)
		}
		g := newTest(t)
		for range 2 {
			g.observe(t, all...)
			if _, found := g.check(t, "acme", "marketing", to); found != c.want {
				t.Errorf("%s, at once: %t", name, found)
			}
		}
	}
}

// A count that nothing was added to for long is forgotten.
func TestSoftCountsAreForgotten(t *testing.T) {
	f, s := newTest(t), newSeen(t)
	s.on = time.Now().Add(-150 * day)
	f.observe(t, s.next(SawSoftBounce, "old@example.com", 0), s.next(SawSoftBounce, "new@example.com", 0))
	f.observe(t, s.next(SawSoftBounce, "new@example.com", 140*day))
	for _, want := range []int{1, 0} {
		if n, err := f.Expire(t.Context(), time.Time{}); n != want || err != nil {
			t.Errorf("expired %d, %v; want %d", n, err, want)
		}
	}
	for to, want := range map[string]int{"old@example.com": 0, "new@example.com": 1} {
		if n, err := f.Find(t.Context(), subject(t, to)); n != want || err != nil {
			t.Errorf("%s: %d, %v", to, n, err)
		}
	}
}

// What is counted is kept by no erasure.
func TestEraseForgetsSoftBounces(t *testing.T) {
	f, s := newTest(t), newSeen(t)
	f.observe(t, s.next(SawSoftBounce, "one@example.com", 0), s.next(SawSoftBounce, "two@example.com", 0))
	if _, err := f.Erase(t.Context(), subject(t, "one@example.com")); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]int{"one@example.com": 1, "two@example.com": 1} { // the hash, the count
		if n, err := f.Find(t.Context(), subject(t, to)); n != want || err != nil {
			t.Errorf("%s: %d, %v", to, n, err)
		}
	}
	_, soft, err := f.of(subject(t, "one@example.com"))
	if len(soft) != 0 || err != nil {
		t.Errorf("counted %+v, %v", soft, err)
	}
}

func TestRulesOfBounces(t *testing.T) {
	f, s := newTest(t), newSeen(t)
	f.rules = Rules{SoftBounces: 2, SoftSpan: day, SoftFor: 30 * day, HardFor: 10 * day}
	s.on = time.Now().Add(-5 * day)
	f.observe(t, s.next(SawHardBounce, "one@example.com", 0), s.next(SawSoftBounce, "two@example.com", 0), s.next(SawSoftBounce, "two@example.com", day))
	for to, want := range map[string]time.Duration{"one@example.com": 5 * day, "two@example.com": 26 * day} {
		got, found := f.check(t, "acme", "marketing", to)
		if left := time.Until(got.Expires); !found || left > want || left < want-time.Hour {
			t.Errorf("%s: %+v", to, got)
		}
	}
	s.on = time.Now().Add(-11 * day)
	if learned := f.observe(t, s.next(SawHardBounce, "late@example.com", 0)); len(learned) != 0 {
		t.Errorf("what had expired when it was heard of: %+v", learned)
	}
}

// Once lifted, counting begins anew.
func TestRemoveForgetsSoftBounces(t *testing.T) {
	f, s := newTest(t), newSeen(t)
	for range 5 {
		f.observe(t, s.next(SawSoftBounce, "one@example.com", 5*day))
	}
	if got, err := f.Remove(t.Context(), Selector{Tenant: "acme", Address: address(t, "one@example.com")}); len(got) != 1 || err != nil {
		t.Fatalf("removed %+v, %v", got, err)
	}
	if learned := f.observe(t, s.next(SawSoftBounce, "one@example.com", 5*day)); len(learned) != 0 {
		t.Errorf("suppressed at once: %+v", learned)
	}
}

func TestCursor(t *testing.T) {
	f := newTest(t)
	for _, want := range []uint64{0, 17} {
		if got, err := f.Cursor(); got != want || err != nil {
			t.Errorf("%d, %v", got, err)
		}
		if err := f.Advance(t.Context(), 17); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Erase(t.Context(), subject(t, "one@example.com")); err != nil {
		t.Fatal(err)
	}
	f = f.reopen(t)
	if got, err := f.Cursor(); got != 17 || err != nil {
		t.Errorf("after erasure and restart: %d, %v", got, err)
	}
}

// However often and in whatever parts the same events come, from whatever
// place they are begun again, it ends the same.
func TestObserveAgain(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := newSeen(t)
		var all []Observation
		for range rapid.IntRange(1, 30).Draw(r, "events") {
			sign := rapid.SampledFrom([]Sign{SawDelivery, SawSoftBounce, SawSoftBounce, SawSoftBounce, SawHardBounce, SawComplaint}).Draw(r, "sign")
			to := rapid.SampledFrom([]string{"one@example.com", "two@example.com"}).Draw(r, "to")
			all = append(all, s.next(sign, to, day))
		}
		once, again := newTest(t), newTest(t)
		once.observe(t, all...)
		for from := 0; from < len(all); {
			to := rapid.IntRange(from+1, len(all)).Draw(r, "part")
			again.observe(t, all[from:to]...)
			if rapid.Bool().Draw(r, "crash") {
				again.observe(t, all[from:to]...)
			}
			from = to
		}
		for _, to := range []string{"one@example.com", "two@example.com"} {
			want, err := once.Lookup("acme", address(t, to))
			if err != nil {
				r.Fatal(err)
			}
			got, err := again.Lookup("acme", address(t, to))
			if fmt.Sprint(got) != fmt.Sprint(want) || err != nil {
				r.Fatalf("%s: %+v, %v; want %+v", to, got, err, want)
			}
			_, wanted, _ := once.of(subject(t, to))
			_, counted, _ := again.of(subject(t, to))
			if fmt.Sprint(counted) != fmt.Sprint(wanted) {
				r.Fatalf("%s: counted %+v, want %+v", to, counted, wanted)
			}
		}
	})
}

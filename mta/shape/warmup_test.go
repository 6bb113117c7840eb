package shape

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

func warming(t testing.TB) *Shaper {
	t.Helper()
	rules := `
[warmup]
daily = [100, 200, 400]
max_deferred_percent = 5
max_complaints_percent = 0.5

[[provider]]
name = "big"
mx = "big.example"
warmup = { daily = [50, 100] }
`
	providers, err := (*Providers)(nil).Override("rules", []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Providers: providers, Warming: []string{"fresh"}})
}

func big() Target {
	return Target{Source: "fresh", Site: "big.example", Route: "mx.big.example"}
}

// send sends so many messages, the first refused of them deferred, and returns
// how many went out.
func send(t testing.TB, s *Shaper, now time.Time, to Target, count, refused int) int {
	t.Helper()
	slot, _ := s.Connect(now, to)
	if slot == nil {
		return 0
	}
	defer slot.Close(now)
	slot.Establish()
	for sent := range count {
		if slot.Take(now) > 0 {
			return sent
		}
		reply := taken()
		if sent < refused {
			reply = mail.Reply{Code: 421, Enhanced: mail.EnhancedCode{Class: 4, Subject: 7, Detail: 0}, Text: "deferred"}
		}
		slot.Report(now, Outcome{Reply: reply})
		slot.Succeed()
	}
	return count
}

const day = 24 * time.Hour

func TestWarmUpRisesWhileItGoesWell(t *testing.T) {
	s, now := warming(t), start().Add(9*time.Hour)
	for i, want := range []int{50, 100, math.MaxInt} {
		if room := s.Room(now, "fresh", "big.example"); room != want {
			t.Errorf("day %d: room for %d, want %d", i, room, want)
		}
		if sent := send(t, s, now, big(), 1000, 1); sent != min(want, 1000) {
			t.Errorf("day %d: %d sent", i, sent)
		}
		if i < 2 {
			tomorrow := start().Add(time.Duration(i+1) * day)
			if slot, wait := s.Connect(now, big()); slot != nil || !now.Add(wait).Equal(tomorrow) {
				t.Errorf("day %d: a connection for nothing, or one in %v", i, wait)
			}
		}
		now = now.Add(day)
	}
	if room := s.Room(now, "old", "big.example"); room != math.MaxInt {
		t.Errorf("a source that is not new has room for %d", room)
	}
	if room := s.Room(now, "fresh", "elsewhere.example"); room != 100 {
		t.Errorf("room for %d at others", room)
	}
}

func TestWarmUpWaitsForUse(t *testing.T) {
	s, now := warming(t), start()
	for range 3 {
		send(t, s, now, big(), 10, 0)
		now = now.Add(day)
	}
	if room := s.Room(now, "fresh", "big.example"); room != 50 {
		t.Errorf("room for %d after days of little use", room)
	}
}

func TestWarmUpFallsBack(t *testing.T) {
	s, now := warming(t), start()
	send(t, s, now, big(), 50, 0)
	now = now.Add(day)
	sent := send(t, s, now, big(), 100, 10)
	if sent != 50 {
		t.Errorf("%d sent on a day that goes badly, want no more than the step before", sent)
	}
	now = now.Add(day)
	if room := s.Room(now, "fresh", "big.example"); room != 50 {
		t.Errorf("room for %d the day after", room)
	}
	send(t, s, now, big(), 50, 0)
	now = now.Add(day)
	if room := s.Room(now, "fresh", "big.example"); room != 100 {
		t.Errorf("room for %d after a good day", room)
	}
}

func TestComplaintsHoldTheWarmUpBack(t *testing.T) {
	s, now := warming(t), start()
	send(t, s, now, big(), 50, 0)
	now = now.Add(day)
	send(t, s, now, big(), 60, 0)
	s.Complained(now, "fresh", "big.example", 1)
	if room := s.Room(now, "fresh", "big.example"); room != 40 {
		t.Errorf("one complaint leaves room for %d", room)
	}
	s.Complained(now, "fresh", "big.example", 1)
	if room := s.Room(now, "fresh", "big.example"); room != 0 {
		t.Errorf("room for %d after complaints", room)
	}
	s.Complained(now, "old", "big.example", 100) // nothing to hold back
}

func TestRefusalsThatSayNothingOfTheSource(t *testing.T) {
	s, now := warming(t), start()
	slot, _ := s.Connect(now, big())
	for range 50 {
		slot.Take(now)
		slot.Report(now, Outcome{Reply: mail.Reply{Code: 550, Enhanced: mail.EnhancedCode{Class: 5, Subject: 1, Detail: 1}}, Category: "invalid_recipient"})
		slot.Succeed()
	}
	slot.Close(now)
	if room := s.Room(now.Add(day), "fresh", "big.example"); room != 100 {
		t.Errorf("room for %d after unknown addresses", room)
	}
}

func TestBatchesCountTheirRecipients(t *testing.T) {
	s, now := warming(t), start()
	slot, _ := s.Connect(now, big())
	slot.TakeFor(now, 30)
	if room := s.Room(now, "fresh", "big.example"); room != 20 {
		t.Errorf("room for %d", room)
	}
	slot.TakeFor(now, 30)
	if slot.Take(now) == 0 {
		t.Error("more than the cap")
	}
}

func TestForgottenSourcesBeginAnew(t *testing.T) {
	s, now := warming(t), start()
	send(t, s, now, big(), 50, 0)
	send(t, s, now.Add(day), big(), 60, 0)
	if room := s.Room(now.Add(40*day), "fresh", "big.example"); room != 50 {
		t.Errorf("room for %d after forty days", room)
	}
}

func TestWarmUpIsToldAndLifted(t *testing.T) {
	s, now := warming(t), start()
	send(t, s, now, big(), 50, 1)
	words := strings.Join(s.Describe(now), "\n")
	if want := "fresh at big: step 1 of 2, 50 of 50 sent today, 1 deferred, 0 complaints; 100 tomorrow if at least half of today's is used and goes well"; words != want {
		t.Errorf("got  %s\nwant %s", words, want)
	}
	// The connection's end may have taken the site along: it comes with work.
	if slot, _ := s.Connect(now, big()); slot != nil {
		t.Fatal("a connection past the cap")
	}
	throttles := s.Throttles(now)
	if len(throttles) != 1 || throttles[0].Name != ThrottleWarmUp || !throttles[0].Until.Equal(start().Add(day)) {
		t.Fatalf("throttles %+v", throttles)
	}
	if s.Lift(now, "big.example", ThrottleWarmUp) != 1 || send(t, s, now, big(), 10, 0) != 10 {
		t.Error("not lifted")
	}
	if !strings.Contains(s.Describe(now)[0], "lifted for today") {
		t.Errorf("%s", s.Describe(now))
	}
	if room := s.Room(now.Add(day), "fresh", "big.example"); room != 100 {
		t.Errorf("room for %d tomorrow", room)
	}
}

// TestStateSurvives exports, writes, reads and imports, and compares what the
// two say of everything.
func TestStateSurvives(t *testing.T) {
	providers := shipped(t)
	options := Options{Providers: providers, Warming: []string{"s"}, Categorize: categorizer(), Random: steady}
	before, now := New(options), start()
	google := Target{"s", "google.com", "gmail-smtp-in.l.google.com"}
	slot, _ := before.Connect(now, google)
	slot.Establish()
	for _, text := range []string{
		"421 4.7.28 unusual rate of unsolicited mail originating from your IP address of <a@example.com>",
		"421 4.7.0 Try again later, closing connection.",
	} {
		slot.Take(now)
		reply, _ := parseReply(text)
		slot.Report(now, Outcome{Reply: reply})
		slot.Succeed()
	}
	for range 3 {
		reply, _ := parseReply("421 4.7.28 unsolicited mail originating from your DKIM domain")
		slot.Take(now.Add(time.Minute))
		slot.Report(now, Outcome{Reply: reply, Tenant: "shop"})
		slot.Succeed()
		now = now.Add(time.Minute)
	}
	outlook := Target{"s", "olc.protection.outlook.com", "hotmail-com.olc.protection.outlook.com"}
	other, _ := before.Connect(now, outlook)
	reply, _ := parseReply("550 5.7.606 Access denied, banned sending IP")
	other.Take(now)
	other.Report(now, Outcome{Reply: reply})

	data, err := json.Marshal(before.Export(now))
	if err != nil || strings.Contains(string(data), "example.com") {
		t.Fatalf("%s, %v", data, err)
	}
	state, err := UnmarshalState(data)
	if err != nil {
		t.Fatal(err)
	}
	after := New(options)
	if err := after.Import(now, state); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(after.Export(now))
	if string(again) != string(data) {
		t.Errorf("before %s\nafter  %s", data, again)
	}
	if _, blocked := after.Blocked(now, google, "shop", ""); !blocked || after.Paused(now, outlook) == 0 {
		t.Error("pauses are lost")
	}
	names := func(s *Shaper) (list []string) {
		for _, throttle := range s.Throttles(now) {
			list = append(list, throttle.Site+" "+throttle.Name+" "+throttle.Rule+" "+throttle.Until.String())
		}
		return list
	}
	if a, b := strings.Join(names(before), "\n"), strings.Join(names(after), "\n"); a != b {
		t.Errorf("before:\n%s\nafter:\n%s", a, b)
	}
	later := now.Add(60 * day)
	if err := New(options).Import(later, state); err != nil {
		t.Errorf("old state: %v", err)
	}
}

func TestUnsoundStateIsRefused(t *testing.T) {
	for _, text := range []string{
		`{}`, `{"version":2}`, `[]`, `{"version":1,"levels":[{"site":"a","level":-1}]}`,
		`{"version":1,"warm_ups":[{"source":"a","step":-1}]}`,
		`{"version":1,"levels":[{"site":"a","level":2,"top":1,"ceiling":1}]}`,
	} {
		state, err := UnmarshalState([]byte(text))
		if err == nil {
			err = New(Options{}).Import(start(), state)
		}
		if !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestClockThatWentBack: today goes on, instead of a day that has not come.
func TestClockThatWentBack(t *testing.T) {
	s, now := warming(t), start().Add(10*day)
	send(t, s, now, big(), 50, 0)
	state := s.Export(now)
	after := warming(t)
	if err := after.Import(start(), state); err != nil {
		t.Fatal(err)
	}
	if room := after.Room(start().Add(day), "fresh", "big.example"); room != 100 {
		t.Errorf("room for %d on the next day", room)
	}
}

func FuzzState(f *testing.F) {
	data, _ := json.Marshal(warming(f).Export(start()))
	f.Add(data)
	f.Add([]byte(`{"version":1,"levels":[{"site":"d","source":"s","level":0.1,"top":5,"ceiling":1,"hold":1,"since":"2030-01-01T00:00:00Z","reason":"r"}],"pauses":[{"site":"d","source":"s","until":"2030-01-02T00:00:00Z"}],"warm_ups":[{"source":"fresh","provider":"big","step":9,"day":999999}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		state, err := UnmarshalState(data)
		if err != nil {
			return
		}
		s := warming(t)
		if err := s.Import(start(), state); err != nil {
			return
		}
		for _, throttle := range s.Throttles(start()) {
			if !throttle.Until.After(start()) {
				t.Errorf("throttle is over: %+v", throttle)
			}
		}
		s.Describe(start())
		s.Export(start())
		send(t, s, start(), big(), 10, 5)
	})
}

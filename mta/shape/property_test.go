package shape

import (
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"pgregory.net/rapid"
)

// Over any window no more than the rate times its length goes out, and one
// burst.
func TestRateHoldsOverAnyWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := Rate{rapid.IntRange(1, 2000).Draw(t, "messages"), rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(t, "per")}
		m := newMeter(rate)
		now := start()
		var sent []time.Time
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "obedient") {
				now = now.Add(m.wait(now))
				if m.wait(now) != 0 {
					t.Fatal("waiting as told was not enough")
				}
			} else {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*rate.Interval())).Draw(t, "step")))
			}
			if m.take(now) == 0 {
				sent = append(sent, now)
			}
		}
		for i := range sent {
			for j := i; j < len(sent); j++ {
				most := int(sent[j].Sub(sent[i])/rate.Interval()) + m.burst
				if j-i+1 > most {
					t.Fatalf("%d messages in %v, at most %d", j-i+1, sent[j].Sub(sent[i]), most)
				}
			}
		}
	})
}

// Whatever happens, no more connections than allowed are open, and a paused
// route is probed in the end.
func TestSlotsHoldAndProbesCome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		s := New(Options{Default: Limits{Connections: limit}, Backoff: Backoff{First: time.Second, Max: time.Minute, Jitter: 0.5}})
		now := start()
		var open []*Slot
		routes := []string{"a", "b"}
		pick := func(t *rapid.T) int {
			if len(open) == 0 {
				t.Skip("none open")
			}
			return rapid.IntRange(0, len(open)-1).Draw(t, "slot")
		}
		t.Repeat(map[string]func(*rapid.T){
			"connect": func(t *rapid.T) {
				slot, wait := s.Connect(now, Target{"s", "site", rapid.SampledFrom(routes).Draw(t, "route")})
				if slot != nil {
					open = append(open, slot)
				}
				if len(open) > limit || slot != nil && wait != 0 || wait > 90*time.Second {
					t.Fatalf("%d open of %d, wait %v", len(open), limit, wait)
				}
			},
			"establish": func(t *rapid.T) { open[pick(t)].Establish() },
			"succeed":   func(t *rapid.T) { open[pick(t)].Succeed() },
			"fail":      func(t *rapid.T) { open[pick(t)].Fail(now, "broken", mail.Reply{}) },
			"close": func(t *rapid.T) {
				i := pick(t)
				open[i].Close(now)
				open = append(open[:i], open[i+1:]...)
			},
			"pass": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "time")))
			},
		})
		for _, slot := range open {
			slot.Close(now)
		}
		for _, name := range routes {
			probed := Target{"s", "site", name}
			now = now.Add(s.Paused(now, probed))
			slot, wait := s.Connect(now, probed)
			if slot == nil {
				t.Fatalf("no probe after the pause, wait %v", wait)
			}
			slot.Close(now)
		}
	})
}

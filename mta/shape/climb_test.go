package shape

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestClimbNeverSnaps: whatever cuts come, the allowance never rises by more
// than doubling in a minute, never falls by itself, stays within its bounds and
// reaches its top when it says.
func TestClimbNeverSnaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c climb
		now, top := start(), rapid.Float64Range(1, 1000).Draw(t, "top")
		for range rapid.IntRange(1, 8).Draw(t, "cuts") {
			refused := top
			if c.active(now) {
				refused = c.at(now)
			}
			left := max(refused*rapid.Float64Range(0.01, 1).Draw(t, "factor"), 0.001)
			keep := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "keep"))
			c.cut(now, refused, left, top, keep, cause{})
			if c.at(now) != left || c.at(now.Add(keep)) != left {
				t.Fatalf("%v after a cut to %v", c.at(now.Add(keep)), left)
			}
			before := left
			for range rapid.IntRange(0, 30).Draw(t, "looks") {
				step := time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "step"))
				now = now.Add(step)
				level := c.at(now)
				if most := grown(before, step); level < before*(1-1e-9) || level > most*(1+1e-9) || level > top*(1+1e-9) {
					t.Fatalf("%v after %v in %v, top %v", level, before, step, top)
				}
				before = level
			}
		}
		end := c.end()
		if at := c.at(end); math.Abs(at-top) > 1e-6*top {
			t.Errorf("%v of %v at the end", at, top)
		}
		if c.active(end.Add(time.Second)) {
			t.Error("active after the end")
		}
	})
}

// TestClimbAsksSeldom: each time it meets the same limit it waits longer before
// it tries for more, up to a bound, and a limit elsewhere begins anew.
func TestClimbAsksSeldom(t *testing.T) {
	var c climb
	now := start()
	meet := func(limit float64) time.Duration {
		c.cut(now, limit, limit*0.9, 1000, time.Minute, cause{})
		begun := now
		for c.at(now) < limit*1.01 {
			now = now.Add(time.Second)
		}
		return now.Sub(begun).Truncate(time.Minute)
	}
	for i, want := range []time.Duration{2, 3, 5, 9, 16, 16} {
		if got := meet(100); got != want*time.Minute {
			t.Errorf("meeting %d: more is tried after %v, want %v", i, got, want*time.Minute)
		}
	}
	if got := meet(500); got != 2*time.Minute {
		t.Errorf("another limit: more is tried after %v", got)
	}
}

// TestClimbKeepsItsMultipliers: nothing is cut down to whole numbers on the way.
func TestClimbKeepsItsMultipliers(t *testing.T) {
	var c climb
	now, level := start(), 3.0
	for range 5 {
		c.cut(now, level, level*0.9, 3, time.Minute, cause{})
		level = c.at(now)
	}
	if want := 3 * math.Pow(0.9, 5); math.Abs(level-want) > 1e-9 {
		t.Errorf("%v, want %v", level, want)
	}
}

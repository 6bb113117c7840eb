package queue_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/queue"
)

func TestPause(t *testing.T) {
	p := queue.RetryPolicy{First: time.Minute, Factor: 2, Max: 10 * time.Minute}
	for attempts, want := range map[int]time.Duration{
		-1: time.Minute, 0: time.Minute, 1: time.Minute, 2: 2 * time.Minute, 3: 4 * time.Minute, 4: 8 * time.Minute,
		5: 10 * time.Minute, 1000: 10 * time.Minute, math.MaxInt: 10 * time.Minute,
	} {
		if got := p.Pause(attempts, 0.9); got != want {
			t.Errorf("after %d attempts %v instead of %v", attempts, got, want)
		}
	}
}

// TestPauseFraction holds that the factor is no integer: 1.5 grows.
func TestPauseFraction(t *testing.T) {
	p := queue.RetryPolicy{First: 4 * time.Second, Factor: 1.5, Max: time.Hour}
	if got := p.Pause(3, 0); got != 9*time.Second {
		t.Errorf("third pause %v", got)
	}
}

func TestPauseJitter(t *testing.T) {
	p := queue.RetryPolicy{First: 10 * time.Second, Factor: 2, Max: time.Hour, Jitter: 0.2}
	for random, want := range map[float64]time.Duration{0: 8 * time.Second, 0.5: 10 * time.Second} {
		if got := p.Pause(1, random); got != want {
			t.Errorf("%v: %v instead of %v", random, got, want)
		}
	}
	if got := p.Pause(1, math.Nextafter(1, 0)); got > 12*time.Second || got < 11*time.Second {
		t.Errorf("highest %v", got)
	}
}

func policies() *rapid.Generator[queue.RetryPolicy] {
	return rapid.Custom(func(t *rapid.T) queue.RetryPolicy {
		first := rapid.Int64Range(int64(time.Millisecond), int64(24*time.Hour)).Draw(t, "first")
		return queue.RetryPolicy{
			First:  time.Duration(first),
			Factor: rapid.Float64Range(0, 100).Draw(t, "factor"),
			Max:    time.Duration(rapid.Int64Range(first, int64(30*24*time.Hour)).Draw(t, "max")),
			Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
	})
}

// TestPauseBounds holds every pause within what jitter leaves of First and Max.
func TestPauseBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policies().Draw(t, "policy")
		attempts := rapid.IntRange(0, 100000).Draw(t, "attempts")
		random := rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "random")
		pause := float64(p.Pause(attempts, random))
		least := max(float64(p.First)*(1-p.Jitter)-1, float64(time.Millisecond))
		most := max(float64(p.Max)*(1+p.Jitter)+1, float64(time.Millisecond))
		if pause < least || pause > most {
			t.Fatalf("%v, not from %v to %v", time.Duration(pause), time.Duration(least), time.Duration(most))
		}
	})
}

// TestPauseGrows holds that without jitter no pause is shorter than the last.
func TestPauseGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policies().Draw(t, "policy")
		p.Jitter = 0
		attempts := rapid.IntRange(1, 1000).Draw(t, "attempts")
		if a, b := p.Pause(attempts, 0), p.Pause(attempts+1, 0); b < a {
			t.Fatalf("pause %d is %v, the next %v", attempts, a, b)
		}
	})
}

func TestNext(t *testing.T) {
	p := queue.RetryPolicy{First: time.Minute, Factor: 1, Max: time.Minute, Jitter: 0.5}
	now := time.Unix(1772366400, 0)
	for expires, want := range map[time.Duration]bool{0: false, 29 * time.Second: false, 91 * time.Second: true} {
		next, ok := p.Next(now, 1, now.Add(expires))
		if ok != want || next.Sub(now) < 30*time.Second || next.Sub(now) > 90*time.Second {
			t.Errorf("expiry in %v: next in %v, %v", expires, next.Sub(now), ok)
		}
	}
}

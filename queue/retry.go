package queue

import (
	"math"
	"math/rand/v2"
	"time"
)

// RetryPolicy spaces the attempts for one recipient: exponentially growing
// pauses with jitter, so that what failed together does not come back
// together.
type RetryPolicy struct {
	// First is the pause after the first attempt.
	First time.Duration
	// Factor multiplies each further pause; below 1 counts as 1.
	Factor float64
	// Max bounds a pause.
	Max time.Duration
	// Jitter is the share by which a pause varies, from 0 to 1: 0.2 spreads it
	// over plus and minus 20 percent.
	Jitter float64
}

// Pause returns how long to wait after the given number of attempts, counted
// from 1. random is in [0, 1).
func (p RetryPolicy) Pause(attempts int, random float64) time.Duration {
	factor := max(p.Factor, 1)
	pause := float64(p.First) * math.Pow(factor, float64(max(attempts, 1)-1))
	pause = min(pause, float64(p.Max))
	pause *= 1 + p.Jitter*(2*random-1)
	return max(time.Duration(pause), time.Millisecond)
}

// Next returns when to try again after an attempt that ended at now, and
// whether that is still before expires.
func (p RetryPolicy) Next(now time.Time, attempts int, expires time.Time) (next time.Time, ok bool) {
	next = now.Add(p.Pause(attempts, rand.Float64()))
	return next, next.Before(expires)
}

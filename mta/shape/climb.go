package shape

import (
	"math"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

const (
	// doubling is how long an allowance takes to double while it grows.
	doubling = time.Minute
	// firstHold and maxHold bound how long one stays just below where it was
	// refused before it tries for more.
	firstHold = time.Minute
	maxHold   = 15 * time.Minute
	// below is how much of what was refused it stays at.
	below = 0.93
	// sameCeiling is how far two refusals may lie apart, as a factor, to have
	// met the same limit of the provider.
	sameCeiling = 1.5
)

// climb is an allowance that refusals cut and that time gives back. After a cut
// it stays low for a while, then doubles each minute until just below where it
// was refused, holds there, and doubles again until its top. Each time it meets
// the same limit it holds twice as long, so that a provider with a firm limit
// is seldom asked for more than that. It is pure: all of it follows from the
// last cut and the time. A nil climb was never cut.
type climb struct {
	// level until since, when it begins to grow; zero if nothing was cut.
	level float64
	since time.Time
	// ceiling is where it was refused, hold how long it stays below that.
	ceiling float64
	hold    time.Duration
	// good is what was allowed for a whole hold before.
	good float64
	// top is where it ends.
	top float64
	// made is when it was cut, how often since it last grew, and why.
	made time.Time
	cuts int
	why  cause
}

// cause says who cut or paused, in words, and by which reply.
type cause struct {
	rule   string
	reason string
	reply  mail.Reply
}

// active reports that the allowance is below its top.
func (c *climb) active(now time.Time) bool {
	return c != nil && c.level > 0 && c.at(now) < c.top
}

// plateau is where it holds.
func (c *climb) plateau() float64 {
	return max(c.level, min(max(below*c.ceiling, c.good), c.top))
}

// tried reports that the hold is over, and that more was tried.
func (c *climb) tried(now time.Time) bool {
	return c.level > 0 && now.Sub(c.since) > growth(c.level, c.plateau())+c.hold
}

// growth is how long it takes from one level to another.
func growth(from, to float64) time.Duration {
	return time.Duration(max(math.Log2(to/from), 0) * float64(doubling))
}

// grown is what becomes of a level in a time.
func grown(level float64, in time.Duration) float64 {
	return level * math.Exp2(in.Minutes()/doubling.Minutes())
}

// at returns the allowance at now; it means nothing unless one was cut.
func (c *climb) at(now time.Time) float64 {
	growing := now.Sub(c.since)
	if growing <= 0 {
		return c.level
	}
	plateau := c.plateau()
	reached := growth(c.level, plateau)
	switch {
	case growing < reached:
		return grown(c.level, growing)
	case growing < reached+c.hold:
		return plateau
	}
	return min(grown(plateau, growing-reached-c.hold), c.top)
}

// end is when the allowance reaches its top.
func (c *climb) end() time.Time {
	plateau := c.plateau()
	return c.since.Add(growth(c.level, plateau) + c.hold + growth(plateau, c.top))
}

// again is which cut the next would be since the allowance last grew.
func (c *climb) again(now time.Time) int {
	if c.active(now) && !now.After(c.since) {
		return c.cuts + 1
	}
	return 1
}

// cut lowers the allowance from what was refused to what is left, and keeps it
// there for a time.
func (c *climb) cut(now time.Time, refused, left, top float64, keep time.Duration, why cause) {
	tried := c.tried(now)
	met := c.ceiling > 0 && refused < c.ceiling*sameCeiling && c.ceiling < refused*sameCeiling
	c.cuts = c.again(now)
	switch {
	case c.cuts > 1:
		tried = c.good > 0
	case met && now.Sub(c.since) < 2*maxHold:
		c.hold = min(2*c.hold, maxHold)
	default:
		c.hold = firstHold
	}
	c.hold = max(c.hold, firstHold)
	if tried {
		c.good = max(c.good, min(c.plateau(), refused))
	} else {
		c.good = 0
	}
	c.level, c.ceiling, c.top = left, refused, max(top, left)
	c.since = now.Add(keep)
	c.made, c.why = now, why
}

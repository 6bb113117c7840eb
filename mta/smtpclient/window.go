package smtpclient

import "time"

const (
	// maxWindow bounds the transactions under way at once, maxOctets their
	// messages; one larger than that travels alone.
	maxWindow = 32
	maxOctets = 512 << 10
	// firstLeap is the window after the first success: the connection has
	// shown that it can.
	firstLeap = 4
	// slack is what answers may be late without a queue at the server being
	// the cause.
	slack = 5 * time.Millisecond
)

// window is how many transactions may be under way: few at first, more with
// each that succeeds, one again at any sign of trouble. It measures what a
// round trip costs and stops growing where more in flight would only wait in
// line at the server (Brakmo and Peterson, TCP Vegas, 1995): a message under
// way cannot be taken back, overtaken or given to another connection.
type window struct {
	size int
	// shy holds after trouble: growth is by one a round trip, not by one a
	// success.
	shy bool
	// credit counts successes towards the next step of a shy window.
	credit int
	// least is the shortest time an answer to a whole message took.
	least time.Duration
}

// succeed notes a message that was taken, how long after its last octet, and
// whether as many were under way as may be.
func (w *window) succeed(took time.Duration, crowded bool, most int) {
	if w.least == 0 || took < w.least {
		w.least = took
	}
	switch {
	case took > 3*w.least+slack:
		w.size = max(1, w.size-1)
	case !crowded || took > 2*w.least+slack:
	case !w.shy && w.size == 1:
		w.size = firstLeap
	case !w.shy:
		w.size++
	default:
		w.grow()
	}
	w.size = min(w.size, most)
}

func (w *window) grow() {
	w.credit++
	if w.credit >= w.size {
		w.size, w.credit = w.size+1, 0
	}
}

// shrink notes trouble.
func (w *window) shrink() { w.size, w.shy, w.credit = 1, true, 0 }

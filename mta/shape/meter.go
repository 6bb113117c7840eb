package shape

import (
	"math"
	"time"
)

// burstWindow is the part of a rate that may be spent at once: enough to make
// up for a timer that fires late, too little for a provider to notice.
const burstWindow = 100 * time.Millisecond

// meter spaces messages by the generic cell rate algorithm: one time instead
// of a bucket, so that it needs no refilling and an idle one costs nothing.
type meter struct {
	interval time.Duration
	burst    int
	// next is when the next message is due if none may come early.
	next time.Time
}

func newMeter(r Rate) meter {
	var m meter
	m.set(r.Interval())
	return m
}

// set changes the interval and keeps what was counted.
func (m *meter) set(interval time.Duration) {
	if interval == m.interval {
		return
	}
	m.interval, m.burst = max(interval, 0), 0
	if interval > 0 {
		m.burst = max(1, int(burstWindow/interval))
	}
}

// wait says how long until a message may go; zero for now.
func (m *meter) wait(now time.Time) time.Duration {
	if m.interval <= 0 {
		return 0
	}
	// Further ahead it can only be after a slower rate was replaced.
	if most := now.Add(time.Duration(m.burst) * m.interval); m.next.After(most) {
		m.next = most
	}
	earliest := m.next.Add(-time.Duration(m.burst-1) * m.interval)
	return max(earliest.Sub(now), 0)
}

// take counts one message at now if it may go, and says how long to wait
// otherwise.
func (m *meter) take(now time.Time) time.Duration {
	if m.interval <= 0 {
		return 0
	}
	if wait := m.wait(now); wait > 0 {
		return wait
	}
	if m.next.Before(now) {
		m.next = now
	}
	m.next = m.next.Add(m.interval)
	return 0
}

// full reports that the meter has forgotten everything that it counted.
func (m *meter) full(now time.Time) bool { return m.interval <= 0 || !m.next.After(now) }

// tempoWindow is the time over which a tempo is measured.
const tempoWindow = 10 * time.Second

// tempo measures how many messages go out in a second, the latest weighing
// most.
type tempo struct {
	// sum of the messages, each less the older it is, and when it was made.
	sum float64
	at  time.Time
	// begun is when the first came after a rest.
	begun time.Time
}

func (t *tempo) add(now time.Time) {
	if now.Sub(t.at) > 3*tempoWindow {
		t.sum, t.begun = 0, now
	}
	t.sum, t.at = 1+t.sum*aged(now.Sub(t.at)), now
}

// aged is the weight of what is so old.
func aged(age time.Duration) float64 {
	return math.Exp(-max(age, 0).Seconds() / tempoWindow.Seconds())
}

// perSecond is the tempo at now. What began less than a second ago counts as a
// second's.
func (t *tempo) perSecond(now time.Time) float64 {
	whole := tempoWindow.Seconds() * (1 - aged(max(now.Sub(t.begun), time.Second)))
	return t.sum * aged(now.Sub(t.at)) / whole
}

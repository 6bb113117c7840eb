package shape

import "time"

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
	interval := r.Interval()
	if interval <= 0 {
		return meter{}
	}
	return meter{interval: interval, burst: max(1, int(burstWindow/interval))}
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
func (m *meter) full(now time.Time) bool { return !m.next.After(now) }

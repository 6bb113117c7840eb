package watch

import (
	"testing"
	"time"
)

// TestWindowSlides proves that what is older than the window is not in its sum,
// that what comes late is counted in its place, and that a window holds no more
// steps than it is cut into.
func TestWindowSlides(t *testing.T) {
	const span = time.Hour
	var w window
	at := begin()
	w.add(at, span, delivered)
	w.add(at.Add(50*time.Minute), span, bounced)
	w.add(at.Add(20*time.Minute), span, delivered) // late
	for offset, want := range map[time.Duration][2]uint32{
		0: {1, 0}, 30 * time.Minute: {2, 0}, 54 * time.Minute: {2, 1}, 60 * time.Minute: {1, 1}, 80 * time.Minute: {0, 1}, 110 * time.Minute: {0, 0},
	} {
		sum := w.sum(at.Add(offset), span)
		if got := [2]uint32{sum[delivered], sum[bounced]}; got != want {
			t.Errorf("after %v: %v, want %v", offset, got, want)
		}
	}
	for n := range 1000 {
		w.add(at.Add(time.Duration(n)*time.Minute), span, complained)
	}
	if len(w.Steps) > slots {
		t.Errorf("%d steps", len(w.Steps))
	}
	last := at.Add(999 * time.Minute)
	before := w.sum(last, span)
	w.add(at, span, bounced) // too late
	if after := w.sum(last, span); after != before || len(w.Steps) > slots {
		t.Errorf("%v after %v, %d steps", after, before, len(w.Steps))
	}
	if before[complained] < 55 || before[complained] > 60 {
		t.Errorf("%d in an hour of one a minute", before[complained])
	}
}

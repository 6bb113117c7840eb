package watch

import (
	"cmp"
	"slices"
	"time"
)

// kind is what became of a recipient, as far as rates are about it.
type kind uint8

const (
	delivered kind = iota
	// bounced: refused since there is no such mailbox, or no longer one.
	bounced
	// blocked: refused for what the sender or the message is.
	blocked
	// failed: refused for another reason.
	failed
	complained
	// returned: delivered, and then reported by mail as bounced.
	returned
	kinds
)

// tally counts recipients by what became of them.
type tally [kinds]uint32

func (t *tally) add(o *tally) {
	for k := range t {
		t[k] += o[k]
	}
}

// slots is into how many steps a window is cut, by which it moves on.
const slots = 12

// window counts over a span of time that slides. It holds no more than the steps
// in which something happened.
type window struct {
	// Steps in the order of their times.
	Steps []step `json:"steps,omitempty"`
}

// step is a slot of time with its number since 1970.
type step struct {
	Number int64 `json:"n"`
	Tally  tally `json:"t"`
}

// stepOf returns the number of the step of a window of that span that at lies
// in.
func stepOf(at time.Time, span time.Duration) int64 {
	return at.UnixNano() / max(int64(span/slots), 1)
}

// add counts one of a kind at a time, and forgets the steps that have left the
// window. What is older than the window is not counted.
func (w *window) add(at time.Time, span time.Duration, k kind) {
	n := stepOf(at, span)
	newest := n
	if len(w.Steps) > 0 {
		newest = max(n, w.Steps[len(w.Steps)-1].Number)
	}
	if n <= newest-slots {
		return
	}
	w.Steps = slices.DeleteFunc(w.Steps, func(s step) bool { return s.Number <= newest-slots })
	i, found := slices.BinarySearchFunc(w.Steps, n, func(s step, n int64) int { return cmp.Compare(s.Number, n) })
	if !found {
		w.Steps = slices.Insert(w.Steps, i, step{Number: n})
	}
	w.Steps[i].Tally[k]++
}

// sum returns what lies in the window at a time.
func (w *window) sum(at time.Time, span time.Duration) tally {
	n := stepOf(at, span)
	var sum tally
	for i := range w.Steps {
		if s := &w.Steps[i]; s.Number > n-slots && s.Number <= n {
			sum.add(&s.Tally)
		}
	}
	return sum
}

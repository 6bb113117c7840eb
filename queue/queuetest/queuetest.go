// Package queuetest is the proof that a queue.Store keeps its contract. Every
// store runs the same suite, and a random comparison with a model, from a test
// of its own:
//
//	func TestStore(t *testing.T) {
//		queuetest.Run(t, open)
//		queuetest.RunModel(t, open)
//	}
//
// Memory, which keeps nothing on disk, passes it; tests of rooms that need
// some store may use it.
package queuetest

import (
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

// Harness holds one store under test through closings and crashes.
type Harness interface {
	// Store returns the store as it is open now.
	Store() queue.Store
	// Reopen closes the store and opens it again. Nothing is leased.
	Reopen(t *testing.T)
	// Crash abandons the store as a killed process would, without closing it,
	// and opens it again as it was on disk at one moment. Calls of the old
	// store may go on, and must not be seen in the new one. It reports false
	// where it cannot be done.
	Crash(t *testing.T) bool
	// Events returns all events so far in their order, those of finished
	// calls included, across Reopen and Crash.
	Events(t *testing.T) []event.Event
	// Close closes the store at the end. It is called once.
	Close(t *testing.T)
}

// patience bounds every wait for something that must happen. It is long, since
// only a failing store ever waits for it, and shorter than the naps by which a
// store may get over a wake-up that it lost.
const patience = 20 * time.Second

// silence is how long the suite listens for what must not happen.
const silence = 60 * time.Millisecond

// Run runs the suite. Each test calls open for an empty store of its own.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	run(t, open, patience)
}

func run(t *testing.T, open func(t *testing.T) Harness, patience time.Duration) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			h := open(t)
			t.Cleanup(func() { h.Close(t) })
			c.test(&trial{T: t, Harness: h, patience: patience})
		})
	}
}

// testCase is one test of the suite.
type testCase struct {
	name string
	test func(*trial)
}

func cases() []testCase {
	var all []testCase
	for _, part := range [][]testCase{
		acceptCases(), readyCases(), leaseCases(), outcomeCases(), controlCases(), cancelCases(), holdCases(), windowCases(), usageCases(), inspectCases(), durableCases(), scaleCases(),
	} {
		all = append(all, part...)
	}
	return all
}

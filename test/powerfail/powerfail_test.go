package powerfail

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The environment variables that say how many states are made, and in which
// folder the bad ones are kept.
const (
	statesVariable = "POSTRIDER_CRASH_STATES"
	keepVariable   = "POSTRIDER_CRASH_KEEP"
)

func states(t *testing.T, usual int) int {
	t.Helper()
	text := os.Getenv(statesVariable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", statesVariable, err)
	}
	return n
}

func scratch(t *testing.T) string {
	t.Helper()
	if err := CanTrace(t.Context()); err != nil {
		t.Skip(err)
	}
	folder, err := Scratch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	return folder
}

// TestPowerFails lets the power fail at many moments of a store's work.
func TestPowerFails(t *testing.T) {
	n := states(t, 300)
	o := Options{
		Name: "powerfail", States: n, Lives: 2 + n/1000, Scratch: scratch(t), Enough: 20, Keep: os.Getenv(keepVariable),
		Subject: Work{Sessions: 2, Messages: min(40+n/50, 100), Seed: 1}, Seed: 1,
	}
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(result)
	requireSeen(t, result, wordAccept, wordSettle, wordDefer, wordCancel, wordRecord, wordHold, wordFree, wordRetry,
		seenCompaction, seenSegment, seenFreed)
	if len(result.Bad) > 0 {
		t.Errorf("%d bad states, such as\n%s", len(result.Bad), strings.Join(result.Bad[:min(10, len(result.Bad))], "\n"))
	}
}

// requireSeen holds that the work was what the test is about.
func requireSeen(t *testing.T, r *Result, kinds ...string) {
	t.Helper()
	t.Log(r.Seen)
	for _, kind := range kinds {
		if r.Seen[kind] == 0 {
			t.Errorf("there was no %s in all the work", kind)
		}
	}
}

package powerfail

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// statesVariable is the environment variable that says how many states are
// made.
const statesVariable = "POSTRIDER_CRASH_STATES"

func states(t *testing.T) int {
	t.Helper()
	text := os.Getenv(statesVariable)
	if text == "" {
		return 300
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
	n := states(t)
	o := Options{
		States: n, Lives: 2 + n/1000, Scratch: scratch(t), Enough: 20,
		Work: Work{Sessions: 2, Messages: min(40+n/50, 100), Seed: 1},
	}
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(result)
	if len(result.Bad) > 0 {
		t.Errorf("%d bad states, such as\n%s", len(result.Bad), strings.Join(result.Bad[:min(10, len(result.Bad))], "\n"))
	}
}

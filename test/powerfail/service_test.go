package powerfail

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestPowerFailsUnderDaemon lets the power fail at many moments of the real
// daemon's work.
func TestPowerFailsUnderDaemon(t *testing.T) {
	n := states(t, 120)
	folder := scratch(t)
	binary, err := Build(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	result, err := Run(t.Context(), Options{
		Name: "powerfail-daemon", States: n, Lives: 2 + n/1000, Scratch: folder, Enough: 20, Keep: os.Getenv(keepVariable), Seed: 1,
		Subject: &Service{Binary: binary, Messages: 200, Campaign: 450, Seed: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(result)
	requireSeen(t, result, wordAccept, wordTold, wordAnswer, wordRead, wordLeave, wordErase, wordCancel, wordHold, wordFree, wordRetry,
		seenCompaction, seenSegment, seenFreed, seenEventsAnew)
	if result.Started == 0 {
		t.Error("the daemon was started on no disk")
	}
	if len(result.Bad) > 0 {
		t.Errorf("%d bad states, such as\n%s", len(result.Bad), strings.Join(result.Bad[:min(10, len(result.Bad))], "\n"))
	}
}

package powerfail

import (
	"testing"
)

// TestFindsFlaws proves that a store which breaks its promise is found out.
func TestFindsFlaws(t *testing.T) {
	for _, tc := range []struct {
		flaw Flaw
		want fault
	}{
		{NoSync, lost}, {NoDirectorySync, lost}, {Early, lost}, {EventsElsewhere, lost},
	} {
		t.Run(string(tc.flaw), func(t *testing.T) {
			result, err := Run(t.Context(), Options{
				Name: "powerfail", States: 90, Lives: 1, Scratch: scratch(t), Enough: 3,
				Subject: Work{Sessions: 1, Messages: 80, Seed: 2, Flaw: tc.flaw}, Seed: 2,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(result)
			if result.Lost == 0 || len(result.Bad) == 0 {
				t.Errorf("%s was not found out", tc.flaw)
			}
			for _, bad := range result.Bad {
				t.Log(bad)
			}
		})
	}
}

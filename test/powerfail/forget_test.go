package powerfail

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/test/powerfail/disk"
)

// amnesiac is a service whose disk forgets the syncs of some files.
type amnesiac struct {
	*Service
	steps []disk.Step
	// forgets says of which by name; the empty name is the folder itself.
	forgets func(name string) bool
}

// record implements subject.
func (f amnesiac) record(context.Context, recording) ([]disk.Step, error) {
	steps := slices.Clone(f.steps)
	names := map[disk.Inode]string{}
	for i, s := range steps {
		switch s.Action {
		case disk.Enter, disk.Move:
			names[s.Child] = s.Name
		case disk.Sync:
			if f.forgets(names[s.Inode]) {
				steps[i] = disk.Step{Action: disk.Note}
			}
		}
	}
	return steps, nil
}

// TestFindsForgottenSyncs proves that no sync of the daemon's can be left out
// without being missed.
func TestFindsForgottenSyncs(t *testing.T) {
	folder := scratch(t)
	binary, err := Build(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	s := &Service{Binary: binary, Messages: 60, Campaign: 5, Seed: 3}
	steps, err := s.record(t.Context(), recording{begin: disk.Image{}, scratch: folder})
	if err != nil {
		t.Fatal(err)
	}
	for name, forgets := range map[string]func(string) bool{
		"journal":      isSegment,
		"suppressions": func(name string) bool { return strings.HasPrefix(name, "suppress.db") },
		"events":       func(name string) bool { return strings.Contains(name, "-") && strings.Contains(name, ".db") },
		"folders":      func(name string) bool { return name == "" || name == "journal" || name == "events" },
	} {
		t.Run(name, func(t *testing.T) {
			result, err := Run(t.Context(), Options{
				Name: name, States: 120, Lives: 1, Scratch: folder, Enough: 2, Seed: 3,
				Subject: amnesiac{Service: s, steps: steps, forgets: forgets},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(result)
			if len(result.Bad) == 0 {
				t.Error("that syncs were forgotten was not found out")
			}
			for _, bad := range result.Bad {
				t.Log(bad)
			}
		})
	}
}

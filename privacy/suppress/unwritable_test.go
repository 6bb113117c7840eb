package suppress

import (
	"testing"

	"github.com/postrider-mta/postrider/internal/testdisk"
)

// While the file cannot be written, what is in it counts, and when it can be
// again, changes are made without a restart. Closed and not to be opened again it
// would let nobody be mailed.
func TestUnwritableFileIsRead(t *testing.T) {
	f := newTest(t)
	ctx := t.Context()
	gone, here := entry(t, "marketing", "gone@example.com", Unsubscribed), entry(t, "marketing", "here@example.com", Unsubscribed)
	if _, err := f.Add(ctx, gone); err != nil {
		t.Fatal(err)
	}
	listed := func(e Entry, want bool) {
		t.Helper()
		if _, found, err := f.Check(e.Tenant, e.Stream, e.Address); err != nil || found != want {
			t.Errorf("listed: %v, %v; want %v", found, err, want)
		}
	}
	back := testdisk.Unwritable(t, f.path)
	for range 2 {
		if err := f.Advance(ctx, 7); err == nil {
			t.Error("a change was written")
		}
		if _, err := f.Add(ctx, here); err == nil {
			t.Error("a change was written")
		}
		listed(gone, true)
		listed(here, false)
	}
	back()
	if _, err := f.Add(ctx, here); err != nil {
		t.Fatal(err)
	}
	listed(here, true)
	f = f.reopen(t)
	listed(gone, true)
	listed(here, true)
}

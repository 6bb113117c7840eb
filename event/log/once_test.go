package log

import (
	"slices"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
)

// returned is what a complaint or a late bounce says of a recipient.
func returned(position uint64, message int, kind event.Type, at time.Time) event.Record {
	of := accepted(position, message, at).Event
	return event.Record{Position: position, Event: event.Event{
		ID: of.Message + "-0-" + string(kind), Type: kind, Time: at, Message: of.Message, Index: of.Index,
	}}
}

// TestToldOnce: what comes back again is not written again: in the same batch,
// on the same day, days later, after a restart, after an erasure has written the
// file anew. Another message's is.
func TestToldOnce(t *testing.T) {
	f := openTest(t, t.TempDir())
	f.append(t, accepted(1, 1, noon(1)), accepted(2, 2, noon(1)))
	f.append(t, returned(3, 1, event.Complained, noon(2)), returned(4, 1, event.Complained, noon(2)), returned(5, 1, event.Bounced, noon(2)))
	f.append(t, returned(6, 1, event.Complained, noon(2)))
	f = f.reopen(t)
	f.append(t, returned(7, 1, event.Bounced, noon(4)), returned(8, 2, event.Complained, noon(4)))
	f.append(t, accepted(9, 3, noon(6)), returned(10, 2, event.Complained, noon(6)), returned(11, 3, event.Bounced, noon(6)))
	var positions []uint64
	for _, r := range f.read(t, 0) {
		positions = append(positions, r.Position)
		if r.Event.Recipient == "" || r.Event.Tenant == "" || r.Event.Stream == "" {
			t.Errorf("not completed: %+v", r.Event)
		}
	}
	if want := []uint64{1, 2, 3, 5, 8, 9, 11}; !slices.Equal(positions, want) {
		t.Errorf("positions %d, want %d", positions, want)
	}
	if p, err := f.Position(); p != 11 || err != nil {
		t.Errorf("position %d, %v", p, err)
	}
	if got := f.Stats().Repeated; got != 2 {
		t.Errorf("%d repeated since the file was opened", got)
	}
}

// TestToldOnceWhenCopied: a file that was written anew knows what it has told.
func TestToldOnceWhenCopied(t *testing.T) {
	f := openTest(t, t.TempDir())
	f.append(t, accepted(1, 1, noon(1)), returned(2, 1, event.Complained, noon(1)))
	d := f.shelf.list()[0]
	f.rewriting.Lock()
	_, err := f.rewrite(t.Context(), d, nothing{})
	f.rewriting.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	f.append(t, returned(3, 1, event.Complained, noon(1)))
	if got := f.read(t, 0); len(got) != 2 || f.Stats().Repeated != 1 {
		t.Errorf("read %+v", got)
	}
}

// nothing is a changer of nothing.
type nothing struct{}

func (nothing) concerns([]byte) bool     { return false }
func (nothing) change(*event.Event) bool { return false }

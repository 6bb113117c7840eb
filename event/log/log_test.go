package log

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/event"
)

func TestReadsWhatWasAppended(t *testing.T) {
	f := openTest(t, t.TempDir())
	want := []event.Record{accepted(3, 1, noon(1)), deferral(5, 1, noon(1)), accepted(9, 2, noon(3))}
	f.append(t, want[:2]...)
	f.append(t, want[2])
	for range 2 {
		if got := f.read(t, 0); !reflect.DeepEqual(got, want) {
			t.Fatalf("read %+v, want %+v", got, want)
		}
		if got := f.read(t, 5); !reflect.DeepEqual(got, want[2:]) {
			t.Fatalf("read after 5: %+v", got)
		}
		if p, err := f.Position(); p != 9 || err != nil {
			t.Fatalf("position %d, %v", p, err)
		}
		f = f.reopen(t)
	}
	if got := f.files(t); !slices.Equal(got, []string{"2026-03-01.db", "2026-03-03.db"}) {
		t.Errorf("files %q", got)
	}
}

func TestAppendSkipsWhatIsThere(t *testing.T) {
	f := openTest(t, t.TempDir())
	batch := []event.Record{accepted(1, 1, noon(1)), accepted(2, 2, noon(2)), accepted(3, 3, noon(2))}
	f.append(t, batch[:2]...)
	f.append(t, batch...)
	f = f.reopen(t)
	f.append(t, batch...)
	if got := f.read(t, 0); !reflect.DeepEqual(got, batch) {
		t.Errorf("read %+v", got)
	}
}

func TestAppendRefusesDisorder(t *testing.T) {
	f := openTest(t, t.TempDir())
	for _, second := range []uint64{4, 3} {
		if err := f.Append(t.Context(), []event.Record{accepted(4, 1, noon(1)), accepted(second, 2, noon(1))}); err == nil {
			t.Errorf("position %d after 4 was appended", second)
		}
	}
	if got := f.read(t, 0); len(got) != 0 {
		t.Errorf("read %+v", got)
	}
}

// Order by (day, position) is the order of positions although clocks differ.
func TestDayNeverGoesBack(t *testing.T) {
	f := openTest(t, t.TempDir())
	f.append(t, accepted(1, 1, noon(5)), accepted(2, 2, noon(2)), accepted(3, 3, time.Now().AddDate(50, 0, 0)), accepted(4, 4, time.Time{}))
	files := f.files(t)
	if len(files) != 2 || files[0] != "2026-03-05.db" || files[1] > dayName(time.Now().AddDate(0, 0, 1)) {
		t.Errorf("files %q", files)
	}
	f = f.reopen(t)
	f.append(t, accepted(5, 5, noon(5)))
	var positions []uint64
	for _, r := range f.read(t, 0) {
		positions = append(positions, r.Position)
	}
	if !slices.Equal(positions, []uint64{1, 2, 3, 4, 5}) || len(f.files(t)) != 2 {
		t.Errorf("positions %d in %q", positions, f.files(t))
	}
}

func TestEventThatJSONCannotExpress(t *testing.T) {
	f := openTest(t, t.TempDir())
	bad := accepted(1, 1, noon(1))
	bad.Event.Metadata = json.RawMessage("{\"a\":\x01")
	bad.Event.NextAttempt = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
	f.append(t, bad, accepted(2, 2, noon(1)))
	got := f.read(t, 0)
	if len(got) != 2 || got[0].Event.Recipient != reader(1) || !got[0].Event.NextAttempt.IsZero() || f.Stats().Repaired != 1 {
		t.Errorf("read %+v, stats %+v", got, f.Stats())
	}
	if strings.Contains(f.said.String(), "reader1") {
		t.Errorf("the address is in the log: %s", f.said)
	}
}

func TestReaderEventsAreCompleted(t *testing.T) {
	f := openTest(t, t.TempDir(), func(o *Options) { o.LookBack = 10 })
	f.append(t, accepted(1, 1, noon(1)), click(2, 1, noon(1)))
	f.append(t, click(3, 1, noon(1)), accepted(4, 2, noon(5)))
	f.append(t, click(5, 1, noon(11)), click(6, 1, noon(12)), click(7, 2, noon(12)), click(8, 3, noon(12)))
	for _, r := range f.read(t, 0) {
		e := r.Event
		if e.Type != event.Clicked {
			continue
		}
		lost := r.Position == 6 || r.Position == 8
		complete := e.Tenant == tenant && e.Stream == "marketing" && e.Campaign == "spring" && len(e.Tags) == 2 &&
			string(e.Metadata) == `{"order":"<17>"}` && e.Recipient != ""
		if complete == lost || e.URL == "" {
			t.Errorf("record %d: %+v", r.Position, e)
		}
	}
	if got := f.Stats().Unmatched; got != 2 {
		t.Errorf("%d unmatched, want 2", got)
	}
}

// TestFollowTypes proves that some types are handed over and no others, in their
// order, those to come too, and that a type is what it would be decoded as.
func TestFollowTypes(t *testing.T) {
	f := openTest(t, t.TempDir())
	var want []uint64
	for n := range uint64(3 * followBatch) {
		r := accepted(n+1, int(n), noon(1+int(n)/followBatch))
		if n%7 == 0 || n < followBatch && n%2 == 0 {
			r.Event.ID = `"type":"accepted"`
			r.Event.Type = event.Delivered
			want = append(want, r.Position)
		}
		f.append(t, r)
	}
	last := uint64(10_000)
	want = append(want, last)
	var got []uint64
	errDone := errors.New("done")
	err := f.FollowTypes(t.Context(), 0, []event.Type{event.Delivered, event.Bounced}, func(records []event.Record) error {
		for _, r := range records {
			if got = append(got, r.Position); r.Event.Type != event.Delivered {
				t.Errorf("%+v", r)
			}
		}
		switch len(want) - len(got) {
		case 1:
			to := accepted(last, 1, noon(5))
			to.Event.Type = event.Delivered
			f.append(t, accepted(9_999, 1, noon(5)), to)
		case 0:
			return errDone
		}
		return nil
	})
	if !errors.Is(err, errDone) || !slices.Equal(got, want) {
		t.Errorf("%v, %d of %d", err, len(got), len(want))
	}
	if typeOf([]byte("{}")) != "" || typeOf([]byte(`{"type":"a`)) != "a" {
		t.Error("types of what is no event")
	}
}

// TestComplaintsAreCompleted proves that a complaint that names a recipient's
// place alone is told with whose it was, and one that is whole stays as it is.
func TestComplaintsAreCompleted(t *testing.T) {
	f := openTest(t, t.TempDir())
	bare := event.Record{Position: 2, Event: event.Event{ID: "c", Type: event.Complained, Time: noon(2), Message: messageID(1)}}
	whole := bare
	whole.Position, whole.Event.Tenant, whole.Event.Recipient = 3, "other", "somebody@example.net"
	f.append(t, accepted(1, 1, noon(1)), bare, whole)
	records := f.read(t, 1)
	if e := records[0].Event; e.Tenant != tenant || e.Stream != "marketing" || e.Campaign != "spring" || e.Recipient != reader(1) {
		t.Errorf("%+v", e)
	}
	if e := records[1].Event; e.Tenant != "other" || e.Campaign != "" || e.Recipient != "somebody@example.net" {
		t.Errorf("%+v", e)
	}
}

func TestLookup(t *testing.T) {
	f := openTest(t, t.TempDir(), func(o *Options) { o.OpenFiles = 2 })
	for n := range 12 {
		f.append(t, accepted(uint64(n+1), n, noon(n+1)))
	}
	for range 2 {
		for n := range 12 {
			e, found, err := f.Lookup(messageID(n), 0)
			if err != nil || !found || e.Recipient != reader(n) {
				t.Fatalf("message %d: %+v, %t, %v", n, e, found, err)
			}
		}
		for _, origin := range []struct {
			message string
			index   int
		}{{messageID(3), 1}, {"", 0}, {"zzz", 0}, {messageID(3) + "\x00", 0}} {
			if _, found, err := f.Lookup(origin.message, origin.index); found || err != nil {
				t.Errorf("found %q/%d, %v", origin.message, origin.index, err)
			}
		}
		f = f.reopen(t)
	}
}

func TestFewFilesStayOpen(t *testing.T) {
	f := openTest(t, t.TempDir(), func(o *Options) { o.OpenFiles = 3 })
	for n := range 12 {
		f.append(t, accepted(uint64(n+1), n, noon(n+1)))
	}
	if got := f.read(t, 0); len(got) != 12 {
		t.Errorf("read %d", len(got))
	}
	open := 0
	for _, d := range f.shelf.list() {
		if d.file != nil {
			open++
		}
	}
	if open > 3 {
		t.Errorf("%d files open, want at most 3", open)
	}
}

func TestFollow(t *testing.T) {
	f := openTest(t, t.TempDir())
	f.append(t, accepted(1, 1, noon(1)), accepted(2, 2, noon(1)))
	seen := make(chan uint64, 100)
	var wait sync.WaitGroup
	var end error
	wait.Go(func() {
		end = f.Follow(context.Background(), 1, func(records []event.Record) error {
			for _, r := range records {
				seen <- r.Position
			}
			return nil
		})
	})
	for position := uint64(2); position < 20; position++ {
		if got := <-seen; got != position {
			t.Fatalf("saw %d, want %d", got, position)
		}
		f.append(t, accepted(position+1, 1, noon(int(position))))
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	wait.Wait()
	if !errors.Is(end, ErrClosed) {
		t.Errorf("follow ended with %v", end)
	}
}

func TestFollowEnds(t *testing.T) {
	f := openTest(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Follow(ctx, 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	f.append(t, accepted(1, 1, noon(1)))
	stop := errors.New("stop")
	if err := f.Follow(t.Context(), 0, func([]event.Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("handler failed: %v", err)
	}
}

func TestClosed(t *testing.T) {
	f := openTest(t, t.TempDir())
	f.append(t, accepted(1, 1, noon(1)))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, positionErr := f.Position()
	_, readErr := f.Read(t.Context(), 0, 1)
	_, _, lookupErr := f.Lookup(messageID(1), 0)
	_, eraseErr := f.Erase(t.Context(), subject(t, reader(1)))
	_, findErr := f.Find(t.Context(), subject(t, reader(1)))
	_, expireErr := f.Expire(t.Context(), noon(9))
	for i, err := range []error{
		f.Append(t.Context(), []event.Record{accepted(2, 2, noon(1))}), positionErr, readErr, lookupErr, eraseErr, findErr, expireErr,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d after Close: %v", i, err)
		}
	}
}

// Whatever batches, days and reopenings, Read gives back what was appended.
func TestAnyBatchesAnyDays(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir := t.TempDir()
		f := openTest(t, dir, func(o *Options) { o.OpenFiles = 1 })
		var want []event.Record
		position := uint64(0)
		for range rapid.IntRange(1, 5).Draw(r, "batches") {
			var batch []event.Record
			for range rapid.IntRange(0, 5).Draw(r, "size") {
				position += uint64(rapid.IntRange(1, 3).Draw(r, "gap"))
				batch = append(batch, accepted(position, int(position), noon(rapid.IntRange(1, 9).Draw(r, "day"))))
			}
			f.append(t, batch...)
			want = append(want, batch...)
			if rapid.Bool().Draw(r, "reopen") {
				f = f.reopen(t)
			}
		}
		after := uint64(rapid.IntRange(0, int(position)).Draw(r, "after"))
		limit := rapid.IntRange(1, 10).Draw(r, "limit")
		rest := slices.DeleteFunc(slices.Clone(want), func(x event.Record) bool { return x.Position <= after })
		got, err := f.Read(t.Context(), after, limit)
		if err != nil {
			r.Fatal(err)
		}
		if rest = rest[:min(limit, len(rest))]; len(got) != len(rest) || len(got) > 0 && !reflect.DeepEqual(got, rest) {
			r.Fatalf("read after %d: %+v, want %+v", after, got, rest)
		}
		if err := f.Close(); err != nil {
			r.Fatal(err)
		}
	})
}

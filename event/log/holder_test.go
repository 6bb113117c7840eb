package log

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
)

// fill writes three days about readers 1 and 2, the last one still in use.
func fillThreeDays(t *testing.T, f *fixture) {
	t.Helper()
	f.append(t, accepted(1, 1, noon(1)), accepted(2, 2, noon(1)), deferral(3, 1, noon(1)))
	f.append(t, accepted(4, 2, noon(2)))
	f.append(t, click(5, 1, noon(3)), click(6, 2, noon(3)))
}

// inFiles reports whether any file holds text, in any case, in use or free.
func inFiles(t *testing.T, dir, text string) bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(bytes.ToLower(raw), []byte(text)) {
			return true
		}
	}
	return false
}

func TestFindAndExport(t *testing.T) {
	f := openTest(t, t.TempDir())
	fillThreeDays(t, f)
	other := accepted(7, 1, noon(3))
	other.Event.Tenant = "rival"
	f.append(t, other)
	s := subject(t, "READER1@Example.com")
	if n, err := f.Find(t.Context(), s); n != 3 || err != nil {
		t.Errorf("found %d, %v", n, err)
	}
	var kinds []event.Type
	err := f.Export(t.Context(), s, func(r person.Record) error {
		kinds = append(kinds, r.Data.(event.Event).Type)
		return nil
	})
	if err != nil || !slices.Equal(kinds, []event.Type{event.Accepted, event.Deferred, event.Clicked}) {
		t.Errorf("exported %q, %v", kinds, err)
	}
	stop := errors.New("stop")
	if err := f.Export(t.Context(), s, func(person.Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped export: %v", err)
	}
}

// TestEventsAboutNobody proves that events without a message and a recipient are
// no person's, also where a person has one that names no message.
func TestEventsAboutNobody(t *testing.T) {
	f := openTest(t, t.TempDir())
	lifted := event.Record{Position: 1, Event: event.Event{ID: "u", Type: event.Unsuppressed, Time: noon(1), Tenant: tenant, Recipient: reader(1)}}
	rate := event.Record{Position: 2, Event: event.Event{
		ID: "r", Type: event.RateExceeded, Time: noon(1), Tenant: tenant, Reason: "campaign spring: bounces", Rate: &event.Rate{Count: 7},
	}}
	f.append(t, lifted, rate)
	if n, err := f.Find(t.Context(), subject(t, reader(1))); n != 1 || err != nil {
		t.Errorf("found %d, %v", n, err)
	}
	if n, err := f.Erase(t.Context(), subject(t, reader(1))); n != 1 || err != nil {
		t.Errorf("erased %d, %v", n, err)
	}
	if e := f.read(t, 1)[0].Event; e.Recipient != "" || e.Reason != rate.Event.Reason || e.Rate == nil || e.Rate.Count != 7 {
		t.Errorf("%+v", e)
	}
}

func TestEraseLeavesNothingInTheFiles(t *testing.T) {
	f := openTest(t, t.TempDir())
	fillThreeDays(t, f)
	if !inFiles(t, f.dir, "reader1") {
		t.Fatal("the address should be in the files before")
	}
	if n, err := f.Erase(t.Context(), subject(t, reader(1))); n != 3 || err != nil {
		t.Fatalf("erased %d, %v", n, err)
	}
	if inFiles(t, f.dir, "reader1") {
		t.Error("the address is still in a file")
	}
	checkErased(t, f)
	if got, want := f.files(t), []string{"2026-03-01.db", "2026-03-02.db", "2026-03-03.db"}; !slices.Equal(got, want) {
		t.Errorf("files %q", got)
	}
	// The log goes on, and what comes of the erased one names no person.
	f.append(t, click(7, 1, noon(3)), accepted(8, 3, noon(4)))
	f = f.reopen(t)
	records := f.read(t, 0)
	if len(records) != 8 || !strings.HasPrefix(records[6].Event.Recipient, "erased-") {
		t.Errorf("read %+v", records)
	}
	if n, err := f.Find(t.Context(), subject(t, reader(1))); n != 0 || err != nil {
		t.Errorf("found %d, %v", n, err)
	}
}

// checkErased wants the events of reader 1 without the person, those of reader
// 2 as they were.
func checkErased(t *testing.T, f *fixture) {
	t.Helper()
	pseudonyms := map[string]bool{}
	for _, r := range f.read(t, 0) {
		e := r.Event
		if e.Message != messageID(1) {
			if e.Recipient != reader(2) || e.Metadata == nil {
				t.Errorf("another's event changed: %+v", e)
			}
			continue
		}
		pseudonyms[e.Recipient] = true
		if e.Metadata != nil || e.URL != "" || e.Reason != "" || e.Reply != nil && e.Reply.Text != "" {
			t.Errorf("personal data left: %+v", e)
		}
		if e.Campaign != "spring" || e.Type == event.Deferred && e.Reply.Code != 452 {
			t.Errorf("more than the person is gone: %+v", e)
		}
	}
	if len(pseudonyms) != 1 {
		t.Errorf("pseudonyms %v", pseudonyms)
	}
	for p := range pseudonyms {
		if _, err := mail.ParseAddress(p); err != nil {
			t.Errorf("pseudonym: %v", err)
		}
	}
}

// What comes in while a file is copied is in the copy.
func TestEraseWhileAppending(t *testing.T) {
	f := openTest(t, t.TempDir())
	var batch []event.Record
	for n := uint64(1); n <= 3*copyBatch; n++ {
		batch = append(batch, accepted(n, 1, noon(1)))
	}
	f.append(t, batch...)
	const more = 100
	var wait sync.WaitGroup
	wait.Go(func() {
		for n := uint64(1); n <= more; n++ {
			f.append(t, accepted(3*copyBatch+n, 2, noon(1)))
		}
	})
	wait.Go(func() {
		for range 3 {
			if _, err := f.Erase(t.Context(), subject(t, reader(1))); err != nil {
				t.Error(err)
			}
			if _, err := f.Erase(t.Context(), subject(t, reader(2))); err != nil {
				t.Error(err)
			}
		}
	})
	wait.Wait()
	for range 2 {
		records := f.read(t, 0)
		if len(records) != 3*copyBatch+more {
			t.Fatalf("%d records", len(records))
		}
		for i, r := range records {
			if r.Position != uint64(i+1) || i < 3*copyBatch && r.Event.Recipient == reader(1) {
				t.Fatalf("record %d: %+v", i, r)
			}
		}
		if _, found, err := f.Lookup(messageID(2), 0); !found || err != nil {
			t.Fatalf("lookup after erasure: %t, %v", found, err)
		}
		f = f.reopen(t)
	}
}

func TestRectify(t *testing.T) {
	f := openTest(t, t.TempDir())
	fillThreeDays(t, f)
	to := subject(t, "renamed@example.org")
	if n, err := f.Rectify(t.Context(), subject(t, reader(1)), to.Address); n != 3 || err != nil {
		t.Fatalf("rectified %d, %v", n, err)
	}
	f.append(t, click(7, 1, noon(3)))
	if n, err := f.Find(t.Context(), to); n != 4 || err != nil {
		t.Errorf("found %d under the new address, %v", n, err)
	}
	if n, err := f.Find(t.Context(), subject(t, reader(1))); n != 0 || err != nil {
		t.Errorf("found %d under the old address, %v", n, err)
	}
}

func TestExpire(t *testing.T) {
	f := openTest(t, t.TempDir())
	fillThreeDays(t, f)
	midnight := time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)
	if n, err := f.Expire(t.Context(), midnight.Add(-time.Second)); n != 3 || err != nil {
		t.Errorf("expired %d, %v", n, err)
	}
	if n, err := f.Expire(t.Context(), midnight); n != 1 || err != nil {
		t.Errorf("expired %d, %v", n, err)
	}
	if got := f.read(t, 0); len(got) != 2 || got[0].Position != 5 {
		t.Errorf("read %+v", got)
	}
	// The last file goes too, and the position stays.
	if n, err := f.Expire(t.Context(), noon(30)); n != 2 || err != nil {
		t.Errorf("expired %d, %v", n, err)
	}
	f = f.reopen(t)
	if p, err := f.Position(); p != 6 || err != nil || len(f.read(t, 0)) != 0 {
		t.Errorf("position %d, %v", p, err)
	}
	f.append(t, accepted(6, 1, noon(3)), accepted(7, 3, noon(3)))
	if got := f.read(t, 2); len(got) != 1 || got[0].Position != 7 {
		t.Errorf("read %+v", got)
	}
}

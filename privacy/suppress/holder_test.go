package suppress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/person"
)

func subject(t *testing.T, to string) person.Subject {
	t.Helper()
	return person.Subject{Tenant: "acme", Address: address(t, to)}
}

// inFiles reports whether any file holds text, in use or free.
func (f *fixture) inFiles(t *testing.T, text string) bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(filepath.Dir(f.path), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte(text)) {
			return true
		}
	}
	return false
}

func TestEraseKeepsOnlyTheHash(t *testing.T) {
	f := newTest(t)
	const to = "forgetme@example.com"
	f.add(t, entry(t, "marketing", to, Unsubscribed), entry(t, "", to, Manual), entry(t, "", "other@example.com", Manual))
	rival := entry(t, "marketing", to, Unsubscribed)
	rival.Tenant = "rival"
	if n, err := f.Erase(t.Context(), subject(t, to)); n != 2 || err != nil {
		t.Fatalf("erased %d, %v", n, err)
	}
	for range 2 {
		if f.inFiles(t, "forgetme") {
			t.Error("the address is still in a file")
		}
		got, found := f.check(t, "acme", "transactional", to)
		if !found || got.Reason != Erased || !got.Address.IsZero() || got.Source != "" || got.Time.IsZero() {
			t.Errorf("after erasure: %+v, %t", got, found)
		}
		if _, found := f.check(t, "acme", "marketing", "other@example.com"); !found {
			t.Error("another's entry is gone")
		}
		if n, err := f.Erase(t.Context(), subject(t, to)); n != 0 || err != nil {
			t.Errorf("erased again: %d, %v", n, err)
		}
		f = f.reopen(t)
	}
	if _, found := f.check(t, "rival", "marketing", to); found {
		t.Error("another tenant's answer changed")
	}
	f.add(t, rival)
	if n, err := f.Remove(t.Context(), Selector{Tenant: "acme", Address: address(t, to)}); len(n) != 1 || err != nil {
		t.Errorf("lifted %+v, %v", n, err)
	}
	if _, found := f.check(t, "acme", "marketing", to); found {
		t.Error("still suppressed after Remove")
	}
}

// An entry removed before the erasure left its address in a free page.
func TestEraseReachesFreePages(t *testing.T) {
	f := newTest(t)
	const to = "forgetme@example.com"
	f.add(t, entry(t, "marketing", to, Unsubscribed))
	if n, err := f.Remove(t.Context(), Selector{Tenant: "acme", Address: address(t, to)}); len(n) != 1 || err != nil {
		t.Fatalf("removed %+v, %v", n, err)
	}
	if _, err := f.Erase(t.Context(), subject(t, to)); err != nil {
		t.Fatal(err)
	}
	if f.inFiles(t, "forgetme") {
		t.Error("the address is still in a file")
	}
	if got, found := f.check(t, "acme", "", to); !found || got.Reason != Erased {
		t.Errorf("got %+v", got)
	}
}

func TestFindAndExport(t *testing.T) {
	f := newTest(t)
	const to = "one@example.com"
	f.add(t, entry(t, "marketing", to, Unsubscribed), entry(t, "", to, Manual), entry(t, "", "other@example.com", Manual))
	if n, err := f.Find(t.Context(), subject(t, "ONE@example.com")); n != 2 || err != nil {
		t.Errorf("found %d, %v", n, err)
	}
	var exported []person.Record
	err := f.Export(t.Context(), subject(t, to), func(r person.Record) error {
		exported = append(exported, r)
		return nil
	})
	if err != nil || len(exported) != 2 || exported[0].Data.(Entry).Address.String() != to || exported[0].Kind != "suppression" {
		t.Errorf("exported %+v, %v", exported, err)
	}
	stop := errors.New("stop")
	if err := f.Export(t.Context(), subject(t, to), func(person.Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped export: %v", err)
	}
}

func TestRectify(t *testing.T) {
	f := newTest(t)
	f.add(t, entry(t, "marketing", "misspelt@example.com", Unsubscribed))
	if n, err := f.Rectify(t.Context(), subject(t, "misspelt@example.com"), address(t, "right@example.com")); n != 1 || err != nil {
		t.Fatalf("rectified %d, %v", n, err)
	}
	if f.inFiles(t, "misspelt") {
		t.Error("the old address is still in a file")
	}
	if got, found := f.check(t, "acme", "marketing", "right@example.com"); !found || got.Address.String() != "right@example.com" {
		t.Errorf("new address: %+v, %t", got, found)
	}
	if _, found := f.check(t, "acme", "marketing", "misspelt@example.com"); found {
		t.Error("the old address is still suppressed")
	}
}

func TestExpireForgetsNobody(t *testing.T) {
	f := newTest(t)
	f.add(t, entry(t, "marketing", "one@example.com", Unsubscribed))
	if n, err := f.Expire(t.Context(), time.Now().AddDate(100, 0, 0)); n != 0 || err != nil {
		t.Errorf("expired %d, %v", n, err)
	}
	if _, found := f.check(t, "acme", "marketing", "one@example.com"); !found {
		t.Error("an unsubscription expired")
	}
}

// What changes while the file is copied is in the copy, and nobody is
// unsuppressed for a moment.
func TestEraseWhileChanging(t *testing.T) {
	f := newTest(t)
	fillMany(t, f, 3*copyBatch)
	ctx, cancel := context.WithCancel(context.Background())
	var changes, checks sync.WaitGroup
	checks.Go(func() {
		for ctx.Err() == nil {
			for _, to := range []string{"reader1@example.com", "reader5999@example.com"} {
				if _, found, err := f.Check("acme", "marketing", address(t, to)); !found || err != nil {
					t.Errorf("%s is not suppressed, %v", to, err)
					return
				}
			}
		}
	})
	changes.Go(func() {
		for n := range 40 {
			f.add(t, entry(t, "marketing", fmt.Sprintf("new%d@example.com", n), Unsubscribed))
			x := Selector{Tenant: "acme", Address: address(t, fmt.Sprintf("reader%d@example.com", 100+n))}
			if removed, err := f.Remove(ctx, x); len(removed) != 1 || err != nil {
				t.Errorf("removed %+v, %v", removed, err)
			}
		}
	})
	for n := range 4 {
		if _, err := f.Erase(t.Context(), subject(t, fmt.Sprintf("reader%d@example.com", n))); err != nil {
			t.Error(err)
		}
	}
	changes.Wait()
	cancel()
	checks.Wait()
	f = f.reopen(t)
	entries, _, err := f.List(t.Context(), Selector{}, "", 1<<20)
	if len(entries) != 3*copyBatch || err != nil {
		t.Errorf("%d entries, want as many as before, %v", len(entries), err)
	}
	for n := range 40 {
		if _, found := f.check(t, "acme", "marketing", fmt.Sprintf("new%d@example.com", n)); !found {
			t.Errorf("new%d is lost", n)
		}
		if _, found := f.check(t, "acme", "marketing", fmt.Sprintf("reader%d@example.com", 100+n)); found {
			t.Errorf("reader%d is back", 100+n)
		}
	}
}

func TestRewriteCancelled(t *testing.T) {
	f := newTest(t)
	f.add(t, entry(t, "marketing", "one@example.com", Unsubscribed))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Erase(ctx, subject(t, "one@example.com")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(f.path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy is left: %v", err)
	}
	if got, _ := f.check(t, "acme", "marketing", "one@example.com"); got.Reason != Unsubscribed {
		t.Errorf("got %+v", got)
	}
}

package suppress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/internal/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fixture struct {
	*Store
	path string
}

func openTest(t testing.TB, path string) *fixture {
	t.Helper()
	s, err := Open(Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &fixture{s, path}
}

func newTest(t testing.TB) *fixture {
	t.Helper()
	return openTest(t, filepath.Join(t.TempDir(), "suppress.db"))
}

func (f *fixture) reopen(t *testing.T) *fixture {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return openTest(t, f.path)
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func entry(t testing.TB, stream, to string, reason Reason) Entry {
	return Entry{
		Tenant: "acme", Stream: stream, Address: address(t, to), Reason: reason,
		Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Source: "0123456789abcdefghij",
	}
}

func (f *fixture) add(t testing.TB, entries ...Entry) {
	t.Helper()
	for _, e := range entries {
		if changed, err := f.Add(t.Context(), e); !changed || err != nil {
			t.Fatalf("add %+v: %t, %v", e, changed, err)
		}
	}
}

func (f *fixture) check(t testing.TB, tenant, stream, to string) (Entry, bool) {
	t.Helper()
	e, found, err := f.Check(tenant, stream, address(t, to))
	if err != nil {
		t.Fatal(err)
	}
	return e, found
}

func TestCheck(t *testing.T) {
	f := newTest(t)
	f.add(t, entry(t, "marketing", "one@example.com", Unsubscribed), entry(t, "", "two@example.com", Manual),
		entry(t, "", `"odd \" one"@example.com`, Manual), entry(t, "", "jörg@example.com", Manual))
	for range 2 {
		for _, c := range []struct {
			tenant, stream, to string
			want               bool
		}{
			{"acme", "marketing", "one@example.com", true},
			{"acme", "marketing", "ONE@Example.COM", true},
			{"acme", "transactional", "one@example.com", false},
			{"acme", "marketin", "one@example.com", false},
			{"acme", "marketing2", "one@example.com", false},
			{"rival", "marketing", "one@example.com", false},
			{"acme", "marketing", "one+tag@example.com", false},
			{"acme", "marketing", "o.ne@example.com", false},
			{"acme", "marketing", "one@sub.example.com", false},
			{"acme", "marketing", "two@example.com", true},
			{"acme", "anything", "two@example.com", true},
			{"acme", "anything", `"ODD \" one"@example.com`, true},
			{"acme", "anything", "JÖRG@example.com", true},
			{"acme", "anything", "jorg@example.com", false},
		} {
			if _, found := f.check(t, c.tenant, c.stream, c.to); found != c.want {
				t.Errorf("%s, %s, %s: %t, want %t", c.tenant, c.stream, c.to, found, c.want)
			}
		}
		f = f.reopen(t)
	}
	got, _ := f.check(t, "acme", "marketing", "one@example.com")
	if want := entry(t, "marketing", "one@example.com", Unsubscribed); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAddIsIdempotent(t *testing.T) {
	f := newTest(t)
	first := entry(t, "marketing", "one@example.com", Unsubscribed)
	f.add(t, first)
	again := first
	again.Address = address(t, "ONE@example.com")
	again.Time = again.Time.Add(time.Hour)
	if changed, err := f.Add(t.Context(), again); changed || err != nil {
		t.Errorf("added again: %t, %v", changed, err)
	}
	if got, _ := f.check(t, "acme", "marketing", "one@example.com"); !reflect.DeepEqual(got, first) {
		t.Errorf("got %+v, want the first", got)
	}
}

func TestReasonsAreKeptApart(t *testing.T) {
	f := newTest(t)
	const to = "one@example.com"
	f.add(t, entry(t, "marketing", to, Unsubscribed), entry(t, "marketing", to, Manual), entry(t, "", to, Manual), entry(t, "", to, HardBounce))
	steps := []struct {
		remove Selector
		n      int
		left   Reason
	}{
		{Selector{Reason: Erased}, 0, Unsubscribed},
		{Selector{Stream: "marketing", Reason: Unsubscribed}, 1, HardBounce},
		{Selector{Reason: Manual}, 2, HardBounce},
		{Selector{Stream: "marketing"}, 0, HardBounce},
		{Selector{}, 1, ""},
	}
	for _, s := range steps {
		s.remove.Tenant, s.remove.Address = "acme", address(t, to)
		if n, err := f.Remove(t.Context(), s.remove); len(n) != s.n || err != nil {
			t.Errorf("remove %+v: %+v, %v; want %d", s.remove, n, err, s.n)
		}
		if got, found := f.check(t, "acme", "marketing", to); got.Reason != s.left || found != (s.left != "") {
			t.Errorf("after %+v: %+v, want %q", s.remove, got, s.left)
		}
	}
}

func TestRefused(t *testing.T) {
	f := newTest(t)
	for name, change := range map[string]func(*Entry){
		"no tenant":   func(e *Entry) { e.Tenant = "" },
		"no address":  func(e *Entry) { e.Address = mail.Address{} },
		"no reason":   func(e *Entry) { e.Reason = "" },
		"NUL":         func(e *Entry) { e.Stream = "a\x00b" },
		"long tenant": func(e *Entry) { e.Tenant = string(bytes.Repeat([]byte("x"), 256)) },
	} {
		e := entry(t, "", "one@example.com", Manual)
		change(&e)
		if _, err := f.Add(t.Context(), e); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, x := range []Selector{{}, {Tenant: "acme"}, {Address: address(t, "a@b.example")}} {
		if _, err := f.Remove(t.Context(), x); !errors.Is(err, ErrEntry) {
			t.Errorf("remove %+v: %v", x, err)
		}
	}
}

func TestList(t *testing.T) {
	f := newTest(t)
	const each = 1100 // more than one transaction looks at
	fillMany(t, f, each, func(n int, e *Entry) {
		e.Tenant = []string{"acme", "acme-two", "rival"}[n%3]
		if n%2 == 0 {
			e.Reason = Manual
		}
		if n%5 == 0 {
			e.Stream = ""
		}
	})
	count := func(x Selector, limit int) int {
		seen := map[string]bool{}
		for after := ""; ; {
			page, next, err := f.List(t.Context(), x, after, limit)
			if err != nil || len(page) > limit {
				t.Fatalf("%d entries, %v", len(page), err)
			}
			for _, e := range page {
				if !x.matchScope(&e) || seen[e.Address.String()] {
					t.Errorf("%+v listed for %+v, or twice", e, x)
				}
				seen[e.Address.String()] = true
			}
			if next == "" {
				return len(seen)
			}
			after = next
		}
	}
	for _, c := range []struct {
		x           Selector
		limit, want int
	}{
		{Selector{}, 7, each},
		{Selector{}, each, each},
		{Selector{Tenant: "acme"}, 50, 367},
		{Selector{Tenant: "acme", Stream: "marketing"}, 1000, 293},
		{Selector{Reason: Manual}, 10, 550},
		{Selector{Address: address(t, "READER4@example.com")}, 10, 1},
		{Selector{Address: address(t, "reader4@example.com"), Tenant: "acme-two"}, 10, 1},
		{Selector{Address: address(t, "reader4@example.com"), Tenant: "acme"}, 10, 0},
		{Selector{Tenant: "nobody"}, 10, 0},
	} {
		if got := count(c.x, c.limit); got != c.want {
			t.Errorf("%+v: %d, want %d", c.x, got, c.want)
		}
	}
	if _, _, err := f.List(t.Context(), Selector{}, "!", 1); !errors.Is(err, ErrCursor) {
		t.Errorf("bad cursor: %v", err)
	}
}

func TestConcurrentChanges(t *testing.T) {
	f := newTest(t)
	const writers, each = 20, 15
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for n := range each {
				e := entry(t, "marketing", fmt.Sprintf("reader%d-%d@example.com", w, n), Unsubscribed)
				if changed, err := f.Add(context.Background(), e); !changed || err != nil {
					t.Errorf("add: %t, %v", changed, err)
				}
				if _, found, err := f.Check("acme", "marketing", e.Address); !found || err != nil {
					t.Errorf("added but not there: %v", err)
				}
			}
		})
	}
	wait.Wait()
	f = f.reopen(t)
	entries, _, err := f.List(t.Context(), Selector{}, "", 1<<20)
	if len(entries) != writers*each || err != nil {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestClosed(t *testing.T) {
	f := newTest(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, addErr := f.Add(t.Context(), entry(t, "", "one@example.com", Manual))
	_, _, checkErr := f.Check("acme", "", address(t, "one@example.com"))
	_, _, listErr := f.List(t.Context(), Selector{}, "", 1)
	for i, err := range []error{addErr, checkErr, listErr} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d after Close: %v", i, err)
		}
	}
}

func TestCancelledAdd(t *testing.T) {
	f := newTest(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 20 {
		to := fmt.Sprintf("reader%d@example.com", n)
		changed, err := f.Add(ctx, entry(t, "", to, Manual))
		if _, found := f.check(t, "acme", "", to); found != (err == nil) || found != changed {
			t.Errorf("%t, %v, but found: %t", changed, err, found)
		}
	}
}

// Rather no mail than mail to those who asked for none.
func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		ruin func(path string) error
		want error
	}{
		"missing key":   {func(path string) error { return os.Remove(path + ".key") }, ErrSecret},
		"another's key": {func(path string) error { return os.WriteFile(path+".key", make([]byte, 32), 0o600) }, ErrSecret},
		"short key":     {func(path string) error { return os.Truncate(path+".key", 31) }, ErrSecret},
		"empty":         {func(path string) error { return os.Truncate(path, 0) }, ErrDamaged},
		"cut":           {func(path string) error { return os.Truncate(path, 4*4096) }, ErrDamaged},
		"no database": {func(path string) error {
			return os.WriteFile(path, bytes.Repeat([]byte("x"), 1<<16), 0o600)
		}, ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTest(t)
			f.add(t, entry(t, "", "one@example.com", Manual))
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if err := c.ruin(f.path); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(Options{Path: f.path}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
				if err == nil {
					s.Close()
				}
			}
		})
	}
}

// Pages that are not what they were are an error, never a "may be mailed".
func TestDamagedWhileOpen(t *testing.T) {
	f := newTest(t)
	fillMany(t, f, 200)
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(bytes.Repeat([]byte{0xdb}, int(info.Size())-2*4096), 2*4096); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Check("acme", "", address(t, "reader1@example.com")); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
	for range 2 {
		if _, err := f.Add(t.Context(), entry(t, "", "new@example.com", Manual)); !errors.Is(err, ErrDamaged) {
			t.Errorf("adding to a damaged file: %v", err)
		}
		if _, _, err := f.Check("acme", "", address(t, "reader1@example.com")); !errors.Is(err, ErrDamaged) {
			t.Errorf("afterwards: %v", err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	f := newTest(b)
	fillMany(b, f, 100_000)
	miss, hit := address(b, "nobody@example.com"), address(b, "reader77@example.com")
	for name, a := range map[string]mail.Address{"miss": miss, "hit": hit} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := f.Check("acme", "marketing", a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fillMany adds entries from many goroutines, so that they share commits.
func fillMany(tb testing.TB, f *fixture, n int, changes ...func(int, *Entry)) {
	var wait sync.WaitGroup
	const writers = 500
	for w := range writers {
		wait.Go(func() {
			for i := w; i < n; i += writers {
				e := entry(tb, "marketing", fmt.Sprintf("reader%d@example.com", i), Unsubscribed)
				for _, change := range changes {
					change(i, &e)
				}
				if _, err := f.Add(context.Background(), e); err != nil {
					tb.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

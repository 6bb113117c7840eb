package privacy_test

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/event/log"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
	"github.com/postrider-mta/postrider/privacy"
	"github.com/postrider-mta/postrider/privacy/suppress"
)

var (
	_ privacy.Holder = (*log.Log)(nil)
	_ privacy.Holder = (*suppress.Store)(nil)
)

// fake remembers its calls and answers with a number or an error.
type fake struct {
	name  string
	n     int
	err   error
	calls []string
}

func (f *fake) HolderName() string { return f.name }

func (f *fake) Find(_ context.Context, s person.Subject) (int, error) {
	return f.called("find " + s.Address.String())
}

func (f *fake) Export(_ context.Context, s person.Subject, yield func(person.Record) error) error {
	f.calls = append(f.calls, "export "+s.Address.String())
	for i := range f.n {
		if err := yield(person.Record{Kind: "fake", Data: i}); err != nil {
			return err
		}
	}
	return f.err
}

func (f *fake) Rectify(_ context.Context, s person.Subject, to mail.Address) (int, error) {
	return f.called("rectify " + s.Address.String() + " " + to.String())
}

func (f *fake) Erase(_ context.Context, s person.Subject) (int, error) {
	return f.called("erase " + s.Address.String())
}

func (f *fake) Expire(_ context.Context, before time.Time) (int, error) {
	return f.called("expire " + before.Format(time.DateOnly))
}

func (f *fake) called(call string) (int, error) {
	f.calls = append(f.calls, call)
	return f.n, f.err
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func registry(t *testing.T, holders ...privacy.Holder) *privacy.Registry {
	t.Helper()
	r := privacy.NewRegistry()
	for _, h := range holders {
		if err := r.Register(h); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestEveryHolderHasItsTurn(t *testing.T) {
	broken := errors.New("broken")
	a, b, c := &fake{name: "a", n: 2}, &fake{name: "b", n: 1, err: broken}, &fake{name: "c", n: 5}
	r := registry(t, a, b, c)
	s := person.Subject{Tenant: "acme", Address: address(t, "one@example.com")}
	ctx := t.Context()
	for _, duty := range []func() ([]privacy.Count, error){
		func() ([]privacy.Count, error) { return r.Find(ctx, s) },
		func() ([]privacy.Count, error) { return r.Rectify(ctx, s, address(t, "two@example.com")) },
		func() ([]privacy.Count, error) { return r.Erase(ctx, s) },
		func() ([]privacy.Count, error) { return r.Expire(ctx, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)) },
	} {
		counts, err := duty()
		if want := []privacy.Count{{Holder: "a", Count: 2}, {Holder: "b", Count: 1}, {Holder: "c", Count: 5}}; !reflect.DeepEqual(counts, want) {
			t.Errorf("counts %+v, want %+v", counts, want)
		}
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), " in b: ") || strings.Contains(err.Error(), " in a: ") {
			t.Errorf("error %v", err)
		}
		if strings.Contains(err.Error(), "one@") {
			t.Errorf("the address is in the error: %v", err)
		}
	}
	want := []string{"find one@example.com", "rectify one@example.com two@example.com", "erase one@example.com", "expire 2026-03-01"}
	for _, f := range []*fake{a, b, c} {
		if !slices.Equal(f.calls, want) {
			t.Errorf("%s was asked %q", f.name, f.calls)
		}
	}
}

func TestExport(t *testing.T) {
	broken := errors.New("broken")
	a, b, c := &fake{name: "a", n: 2}, &fake{name: "b", n: 1, err: broken}, &fake{name: "c", n: 2}
	r := registry(t, a, b, c)
	var got []string
	err := r.Export(t.Context(), person.Subject{}, func(holder string, _ person.Record) error {
		got = append(got, holder)
		return nil
	})
	if !errors.Is(err, broken) || !slices.Equal(got, []string{"a", "a", "b", "c", "c"}) {
		t.Errorf("exported %q, %v", got, err)
	}
	stop := errors.New("stop")
	c.calls = nil
	err = r.Export(t.Context(), person.Subject{}, func(string, person.Record) error { return stop })
	if !errors.Is(err, stop) || len(c.calls) != 0 {
		t.Errorf("stopped: %v, then asked %q", err, c.calls)
	}
}

func TestRegisterRefuses(t *testing.T) {
	r := registry(t, &fake{name: "a"})
	for _, name := range []string{"", "a"} {
		if err := r.Register(&fake{name: name}); !errors.Is(err, privacy.ErrHolder) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if got := r.Names(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("names %q", got)
	}
}

func TestWalkEndsWithItsContext(t *testing.T) {
	a := &fake{name: "a"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := registry(t, a).Erase(ctx, person.Subject{}); !errors.Is(err, context.Canceled) || len(a.calls) > 0 {
		t.Errorf("%v, asked %q", err, a.calls)
	}
}

// The stores of the daemon, together.
func TestErasureOverStores(t *testing.T) {
	dir := t.TempDir()
	events, err := log.Open(log.Options{Dir: filepath.Join(dir, "events")})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	suppressions, err := suppress.Open(suppress.Options{Path: filepath.Join(dir, "suppress.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer suppressions.Close()
	one := address(t, "one@example.com")
	err = events.Append(t.Context(), []event.Record{{Position: 1, Event: event.Event{
		ID: "1", Type: event.Accepted, Time: time.Now(), Tenant: "acme", Message: "m", Recipient: one.String(),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := suppressions.Add(t.Context(), suppress.Entry{Tenant: "acme", Address: one, Reason: suppress.Unsubscribed}); err != nil {
		t.Fatal(err)
	}
	r := registry(t, suppressions, events)
	counts, err := r.Erase(t.Context(), person.Subject{Tenant: "acme", Address: one})
	if want := []privacy.Count{{Holder: "suppressions", Count: 1}, {Holder: "events", Count: 1}}; err != nil || !reflect.DeepEqual(counts, want) {
		t.Errorf("%+v, %v", counts, err)
	}
	if _, found, err := suppressions.Check("acme", "marketing", one); !found || err != nil {
		t.Errorf("the erased one may be mailed: %v", err)
	}
}

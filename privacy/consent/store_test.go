package consent_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
	"github.com/postrider-mta/postrider/privacy/consent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string) *consent.Store {
	t.Helper()
	s, err := consent.Open(consent.Options{Path: path, Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func file(t *testing.T) string { return filepath.Join(t.TempDir(), "consent.db") }

func address(t *testing.T, text string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func set(t *testing.T, s *consent.Store, who string, by consent.Origin, m account.Measure) {
	t.Helper()
	err := s.Set(t.Context(), consent.Record{Tenant: "shop", Address: address(t, who), By: by, Measure: m, Time: time.Now(), Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
}

func allows(t *testing.T, s *consent.Store, tenant, who string, want account.Measure) {
	t.Helper()
	if got, err := s.Allowed(tenant, address(t, who)); err != nil || got != want {
		t.Errorf("%s of %s: %v, %v; want %v", who, tenant, got, err, want)
	}
}

// TestAllowed proves that what all origins allow holds, for one tenant, whatever
// the letter case, and over a restart.
func TestAllowed(t *testing.T) {
	path := file(t)
	s := open(t, path)
	if !s.Unlimited() {
		t.Error("somebody forbids something in an empty store")
	}
	set(t, s, "jane@example.com", consent.Tenant, account.MeasureAggregate)
	set(t, s, "joe@example.com", consent.Reader, account.MeasureNone)
	set(t, s, "ann@example.com", consent.Tenant, account.MeasureIndividual)
	check := func(s *consent.Store) {
		t.Helper()
		allows(t, s, "shop", "jane@EXAMPLE.com", account.MeasureAggregate)
		allows(t, s, "shop", "joe@example.com", account.MeasureNone)
		allows(t, s, "shop", "ann@example.com", account.MeasureIndividual)
		allows(t, s, "shop", "nobody@example.com", account.MeasureIndividual)
		allows(t, s, "other", "joe@example.com", account.MeasureIndividual)
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Allowed("shop", address(t, "ann@example.com")); !errors.Is(err, consent.ErrClosed) || m != account.MeasureNone {
		t.Errorf("closed: %v, %v", m, err)
	}
	s = open(t, path)
	check(s)
	// The tenant cannot lift what the reader said.
	set(t, s, "joe@example.com", consent.Tenant, account.MeasureIndividual)
	allows(t, s, "shop", "joe@example.com", account.MeasureNone)
	if removed, err := s.Remove(t.Context(), "shop", address(t, "joe@example.com"), consent.Tenant); err != nil || !removed {
		t.Errorf("%v, %v", removed, err)
	}
	allows(t, s, "shop", "joe@example.com", account.MeasureNone)
	if removed, err := s.Remove(t.Context(), "shop", address(t, "joe@example.com"), consent.Reader); err != nil || !removed {
		t.Errorf("%v, %v", removed, err)
	}
	allows(t, s, "shop", "joe@example.com", account.MeasureIndividual)
	if removed, err := s.Remove(t.Context(), "shop", address(t, "joe@example.com"), consent.Reader); err != nil || removed {
		t.Errorf("again: %v, %v", removed, err)
	}
}

// TestSetWaitsForRecording proves that what is recorded while a reader withdraws
// is done before they are answered, and that what comes then is forbidden.
func TestSetWaitsForRecording(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := consent.Open(consent.Options{Path: path, Pause: 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		withdrawal := consent.Record{Tenant: "shop", Address: address(t, "jane@example.com"), By: consent.Reader, Time: time.Now()}
		answered := make(chan error, 1)
		err = s.Recording(t.Context(), func() error {
			go func() { answered <- s.Set(t.Context(), withdrawal) }()
			time.Sleep(time.Minute)
			select {
			case err := <-answered:
				t.Errorf("answered while something was recorded: %v", err)
			default:
			}
			allows(t, s, "shop", "jane@example.com", account.MeasureNone)
			return nil
		})
		if err = errors.Join(err, <-answered); err != nil {
			t.Fatal(err)
		}
		// One who cannot wait has not withdrawn, and hears so.
		err = s.Recording(t.Context(), func() error {
			impatient, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			withdrawal.Address = address(t, "joe@example.com")
			if err := s.Set(impatient, withdrawal); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("impatient: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		allows(t, s, "shop", "joe@example.com", account.MeasureIndividual)
	})
}

// TestOpenings proves that the last day is kept, over a restart, until the reader
// forbids it or it is old.
func TestOpenings(t *testing.T) {
	path := file(t)
	s := open(t, path)
	jane, joe := address(t, "jane@example.com"), address(t, "joe@example.com")
	now := time.Now()
	s.NoteOpen(s.Person("shop", jane), now)
	s.NoteOpen(s.Person("shop", jane), now.Add(-72*time.Hour))
	s.NoteOpen(s.Person("shop", joe), now.Add(-3*365*24*time.Hour))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	today := now.UTC().Truncate(24 * time.Hour)
	if on, known, err := s.LastOpen("shop", jane); err != nil || !known || !on.Equal(today) {
		t.Errorf("%v, %v, %v", on, known, err)
	}
	if n, err := s.Expire(t.Context(), time.Time{}); n != 1 || err != nil {
		t.Errorf("expired %d, %v", n, err)
	}
	if _, known, err := s.LastOpen("shop", joe); err != nil || known {
		t.Errorf("the old one is known: %v", err)
	}
	set(t, s, "jane@example.com", consent.Reader, account.MeasureAggregate)
	s.NoteOpen(s.Person("shop", jane), now)
	if _, known, err := s.LastOpen("shop", jane); err != nil || known {
		t.Errorf("known although forbidden: %v", err)
	}
}

// TestOpeningsAreBounded proves that what finds no room is counted.
func TestOpeningsAreBounded(t *testing.T) {
	s, err := consent.Open(consent.Options{Path: file(t), Pause: time.Hour, Waiting: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, who := range []string{"a@example.com", "a@example.com", "b@example.com"} {
		s.NoteOpen(s.Person("shop", address(t, who)), time.Now())
	}
	if s.Dropped() != 1 {
		t.Errorf("dropped %d", s.Dropped())
	}
}

// TestErase proves that nothing of an address stays in the files, free pages
// included, and that the person is measured no more all the same.
func TestErase(t *testing.T) {
	path := file(t)
	s := open(t, path)
	jane := person.Subject{Tenant: "shop", Address: address(t, "jane-to-forget@example.com")}
	set(t, s, "jane-to-forget@example.com", consent.Tenant, account.MeasureIndividual)
	set(t, s, "joe@example.com", consent.Reader, account.MeasureHygiene)
	s.NoteOpen(s.Person("shop", jane.Address), time.Now())
	if n, err := s.Find(t.Context(), jane); n != 2 || err != nil {
		t.Errorf("found %d, %v", n, err)
	}
	var kinds []string
	err := s.Export(t.Context(), jane, func(r person.Record) error {
		kinds = append(kinds, r.Kind)
		return nil
	})
	if err != nil || len(kinds) != 2 || kinds[0] != "consent" || kinds[1] != "last opening" {
		t.Errorf("exported %q, %v", kinds, err)
	}
	for range 2 {
		if _, err := s.Erase(t.Context(), jane); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil || bytes.Contains(raw, []byte("jane-to-forget")) {
		t.Errorf("the address is still in the file, %v", err)
	}
	if !bytes.Contains(raw, []byte("joe@example.com")) {
		t.Error("another address is not")
	}
	allows(t, s, "shop", "jane-to-forget@example.com", account.MeasureNone)
	allows(t, s, "shop", "joe@example.com", account.MeasureHygiene)
	if n, err := s.Find(t.Context(), jane); n != 1 || err != nil {
		t.Errorf("found %d, %v", n, err)
	}
}

// TestRectify proves that what was said goes along to the new address, and
// allows no more than that one's owner does.
func TestRectify(t *testing.T) {
	s := open(t, file(t))
	set(t, s, "old@example.com", consent.Reader, account.MeasureAggregate)
	set(t, s, "new@example.com", consent.Reader, account.MeasureHygiene)
	n, err := s.Rectify(t.Context(), person.Subject{Tenant: "shop", Address: address(t, "old@example.com")}, address(t, "new@example.com"))
	if n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	allows(t, s, "shop", "old@example.com", account.MeasureIndividual)
	allows(t, s, "shop", "new@example.com", account.MeasureNone)
}

// TestList proves that every record is shown once, page by page.
func TestList(t *testing.T) {
	s := open(t, file(t))
	for _, who := range []string{"a@example.com", "b@example.com", "c@example.com"} {
		set(t, s, who, consent.Tenant, account.MeasureNone)
	}
	seen := map[string]int{}
	for after, pages := "", 0; ; pages++ {
		records, next, err := s.List("shop", after, 2)
		if err != nil || pages > 2 {
			t.Fatalf("page %d: %v", pages, err)
		}
		for _, r := range records {
			seen[r.Address.String()]++
		}
		if after = next; after == "" {
			break
		}
	}
	if len(seen) != 3 || seen["a@example.com"] != 1 {
		t.Errorf("%v", seen)
	}
	if records, _, err := s.List("other", "", 10); err != nil || len(records) != 0 {
		t.Errorf("%v, %v", records, err)
	}
	if _, _, err := s.List("shop", "x", 10); !errors.Is(err, consent.ErrCursor) {
		t.Error(err)
	}
}

// TestOpenErrors proves that a store which may not know everything is not
// opened, and that nothing is kept that cannot be found.
func TestOpenErrors(t *testing.T) {
	path := file(t)
	s := open(t, path)
	for name, r := range map[string]consent.Record{
		"no tenant":  {Address: address(t, "a@example.com"), By: consent.Reader},
		"no address": {Tenant: "shop", By: consent.Reader},
		"nobody's":   {Tenant: "shop", Address: address(t, "a@example.com")},
	} {
		if err := s.Set(t.Context(), r); !errors.Is(err, consent.ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".key", path+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := consent.Open(consent.Options{Path: path}); !errors.Is(err, consent.ErrSecret) {
		t.Errorf("without its key: %v", err)
	}
	if err := os.WriteFile(path+".key", bytes.Repeat([]byte{1}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := consent.Open(consent.Options{Path: path}); !errors.Is(err, consent.ErrSecret) {
		t.Errorf("with another's key: %v", err)
	}
	if err := os.WriteFile(path, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := consent.Open(consent.Options{Path: path}); !errors.Is(err, consent.ErrDamaged) {
		t.Errorf("damaged: %v", err)
	}
}

// TestDamageWhileRunning proves that once the file has gone bad nobody is
// measured, whatever was said.
func TestDamageWhileRunning(t *testing.T) {
	path := file(t)
	s := open(t, path)
	set(t, s, "joe@example.com", consent.Reader, account.MeasureNone)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, len(raw)), 0o600); err != nil {
		t.Fatal(err)
	}
	err = s.Set(t.Context(), consent.Record{Tenant: "shop", Address: address(t, "ann@example.com"), By: consent.Reader, Time: time.Now()})
	if !errors.Is(err, consent.ErrDamaged) {
		t.Errorf("set: %v", err)
	}
	for _, who := range []string{"joe@example.com", "nobody@example.com"} {
		if m, err := s.Allowed("shop", address(t, who)); m != account.MeasureNone || !errors.Is(err, consent.ErrDamaged) {
			t.Errorf("%s: %v, %v", who, m, err)
		}
	}
	if s.Unlimited() {
		t.Error("nobody forbids anything in a damaged store")
	}
}

// TestErasureOfTheUnknown proves that who was erased is not measured although
// nothing was known of them, and that Remove lifts it.
func TestErasureOfTheUnknown(t *testing.T) {
	s := open(t, file(t))
	jane := person.Subject{Tenant: "shop", Address: address(t, "jane@example.com")}
	if n, err := s.Erase(t.Context(), jane); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	allows(t, s, "shop", "jane@example.com", account.MeasureNone)
	if removed, err := s.Remove(t.Context(), "shop", jane.Address, consent.Erased); err != nil || !removed {
		t.Errorf("%v, %v", removed, err)
	}
	allows(t, s, "shop", "jane@example.com", account.MeasureIndividual)
}

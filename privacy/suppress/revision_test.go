package suppress

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
)

// TestRevision proves that whatever keeps an address back has another revision
// once it is there.
func TestRevision(t *testing.T) {
	s, err := Open(Options{Path: filepath.Join(t.TempDir(), "suppress.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a, err := mail.ParseAddress("reader@example.net")
	if err != nil {
		t.Fatal(err)
	}
	subject := person.Subject{Tenant: "shop", Address: a}
	before := s.Revision()
	if s.Revision() != before {
		t.Error("another revision without a change")
	}
	add := func() error {
		_, err := s.Add(t.Context(), Entry{Tenant: "shop", Address: a, Reason: Manual, Time: time.Now()})
		return err
	}
	erase := func() error {
		_, err := s.Erase(context.Background(), subject)
		return err
	}
	for name, change := range map[string]func() error{"added": add, "erased": erase} {
		before := s.Revision()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if _, found, err := s.Check("shop", "x", a); !found || err != nil || s.Revision() == before {
			t.Errorf("%s: found %v, %v, revision %d", name, found, err, s.Revision())
		}
	}
}

// TestRemoveWhole proves that what holds for all streams can be removed alone.
func TestRemoveWhole(t *testing.T) {
	s, err := Open(Options{Path: filepath.Join(t.TempDir(), "suppress.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a, err := mail.ParseAddress("reader@example.net")
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range []string{"", "news"} {
		if _, err := s.Add(t.Context(), Entry{Tenant: "shop", Stream: stream, Address: a, Reason: Unsubscribed, Time: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := s.Remove(t.Context(), Selector{Tenant: "shop", Address: a, Whole: true})
	if err != nil || len(removed) != 1 || removed[0].Stream != "" {
		t.Errorf("%+v, %v", removed, err)
	}
	if _, found, err := s.Check("shop", "news", a); !found || err != nil {
		t.Errorf("the stream is mailed again, %v", err)
	}
}

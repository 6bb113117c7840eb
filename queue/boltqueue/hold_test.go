package boltqueue

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/internal/person"
	"github.com/postrider-mta/postrider/queue"
)

func fullHold(t testing.TB) queue.Hold {
	t.Helper()
	return queue.Hold{
		ID: queue.NewID(time.Unix(1_772_366_400, 0)), Reason: "wrong price", Since: time.Unix(1_772_366_400, 7).UTC(),
		Selector: queue.Selector{
			Message: queue.NewID(time.Unix(1_772_366_000, 0)), Recipient: address(t, "jürgen@example.com"),
			Tenant: "acme", Stream: "marketing", Campaign: "spring", Domain: "example.com",
		},
	}
}

func TestHoldRoundTrip(t *testing.T) {
	for _, want := range []queue.Hold{fullHold(t), {}} {
		if got, err := decodeHold(appendHold(nil, &want)); err != nil || got != want {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
	}
}

func TestUsageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := queue.Usage{Messages: rapid.Int64().Draw(t, "messages"), Bytes: rapid.Int64().Draw(t, "bytes")}
		if got, err := decodeUsage(appendUsage(nil, want)); err != nil || got != want {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
	})
}

func TestRecipientRowSetAside(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		want := recipientRow{
			due: rapid.Int64Range(0, never-1).Draw(r, "due"), aside: rapid.Int64Range(0, never-1).Draw(r, "aside"),
			attempts: rapid.Uint32Range(0, 1<<31-1).Draw(r, "attempts"), recipient: recipient(t, "a@example.com"), last: []byte("{}"),
		}
		if got, err := decodeRecipientRow(want.append(nil)); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
	})
}

// FuzzDecodeHold holds that damaged records are errors, and that what passes
// is read again as it was.
func FuzzDecodeHold(f *testing.F) {
	hold := fullHold(f)
	f.Add(appendHold(nil, &hold))
	f.Add(appendHold(nil, &queue.Hold{}))
	f.Add([]byte{encodingVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHold(b)
		if err != nil {
			return
		}
		if again, err := decodeHold(appendHold(nil, &h)); err != nil || again != h {
			t.Errorf("%+v is read again as %+v, %v", h, again, err)
		}
	})
}

// TestHoldsNameAPerson proves that a hold on an address is found, exported and
// erased with what waits there, for its tenant or for the operator's own.
func TestHoldsNameAPerson(t *testing.T) {
	g := newGateTrial(t)
	reader := address(t, "Reader0@example.com")
	g.hold(queue.Selector{Recipient: reader})
	g.hold(queue.Selector{Recipient: reader, Tenant: "acme"})
	others := []queue.Hold{
		g.hold(queue.Selector{Recipient: reader, Tenant: "rival"}),
		g.hold(queue.Selector{Recipient: address(t, "other@example.com")}),
		g.hold(queue.Selector{Domain: "example.com"}),
	}
	g.accept(2, time.Hour)
	subject := person.Subject{Tenant: "acme", Address: address(t, "READER0@example.com")}
	if n, err := g.store.Find(t.Context(), subject); n != 3 || err != nil {
		t.Errorf("found %d, %v", n, err)
	}
	var kinds []string
	g.must(g.store.Export(t.Context(), subject, func(r person.Record) error {
		kinds = append(kinds, r.Kind)
		return nil
	}))
	if !reflect.DeepEqual(kinds, []string{"hold", "hold", "queued message"}) {
		t.Errorf("exported %q", kinds)
	}
	if n, err := g.store.Erase(t.Context(), subject); n != 3 || err != nil {
		t.Errorf("erased %d, %v", n, err)
	}
	left, err := g.store.Holds(t.Context())
	if g.must(err); len(left) != len(others) {
		t.Errorf("left are %+v", left)
	}
	if n, err := g.store.Find(t.Context(), subject); n != 0 || err != nil {
		t.Errorf("found %d, %v after all was erased", n, err)
	}
}

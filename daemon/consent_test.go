package daemon

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/privacy/consent"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/token"
)

// noted keeps what is recorded.
type noted struct {
	mu     sync.Mutex
	events []event.Event
}

func (n *noted) Record(_ context.Context, events []event.Event) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, events...)
	return nil
}

func consents(t *testing.T) *consent.Store {
	t.Helper()
	store, err := consent.Open(consent.Options{Path: filepath.Join(t.TempDir(), "consent.db"), Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func withdraw(t *testing.T, store *consent.Store, who string) {
	t.Helper()
	err := store.Set(t.Context(), consent.Record{Tenant: "shop", Address: address(t, who), By: consent.Reader, Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
}

// TestConsenting proves whose hits are recorded: nobody's who forbids it, be it
// the token that says whose it is or the accepted event, and nobody's of whom it
// is not known.
func TestConsenting(t *testing.T) {
	store, to := consents(t), &noted{}
	var failure error
	accepted := map[string]event.Event{
		"old-jane": {Tenant: "shop", Recipient: "jane@example.com"}, "old-joe": {Tenant: "shop", Recipient: "joe@example.com"},
	}
	c, err := newConsenting(to, store, func(message string, _ int) (event.Event, bool, error) {
		e, ok := accepted[message]
		return e, ok, failure
	}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	hits := []event.Event{
		{ID: "jane", Type: event.Clicked, Message: "m", Person: store.Person("shop", address(t, "jane@example.com"))},
		{ID: "joe", Type: event.Opened, Message: "m", Person: store.Person("shop", address(t, "joe@example.com"))},
		{ID: "old jane", Type: event.Clicked, Message: "old-jane"},
		{ID: "old joe", Type: event.Clicked, Message: "old-joe"},
		{ID: "unknown", Type: event.Clicked, Message: "older"},
		{ID: "counted", Type: event.Clicked},
		{ID: "left", Type: event.Unsubscribed, Message: "m", Recipient: "jane@example.com"},
	}
	record := func(want ...string) {
		t.Helper()
		to.events = nil
		if err := c.Record(t.Context(), hits); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range to.events {
			got = append(got, e.ID)
		}
		if len(got) != len(want) {
			t.Fatalf("recorded %q, want %q", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("recorded %q, want %q", got, want)
			}
		}
	}
	record("jane", "joe", "old jane", "old joe", "unknown", "counted", "left")
	withdraw(t, store, "jane@example.com")
	record("joe", "old joe", "counted", "left")
	failure = errors.New("disk")
	record("joe", "counted", "left")
	if n := testutil.ToFloat64(c.withheld); n != 3+4 {
		t.Errorf("counted %v", n)
	}
	// Of one who allows counts alone, what says more is not recorded either.
	failure = nil
	err = store.Set(t.Context(), consent.Record{Tenant: "shop", Address: address(t, "joe@example.com"), By: consent.Tenant, Measure: account.MeasureAggregate, Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	record("counted", "left")
}

// TestWithdrawalOfDeliveredMail proves that links in mail that was delivered
// lead on after a withdrawal and leave nothing, and that a hit which waits to be
// recorded at that moment is dropped and counted.
func TestWithdrawalOfDeliveredMail(t *testing.T) {
	store, to := consents(t), &noted{}
	keys, err := token.NewKeyring(0, map[token.ID]token.Key{0: token.Generate()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConsenting(to, store, func(string, int) (event.Event, bool, error) { return event.Event{}, false, nil }, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	tracker, err := tracking.New(tracking.Options{
		Keys: keys, Recorder: c, Unsubscriber: &unsubscriber{}, Logger: discard(), Window: time.Hour, // until Shutdown
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(tracker)
	defer server.Close()
	r, _ := rendered(t, tenants(shop(server.URL)))
	r.keys, r.readers = keys, store
	links := map[string]string{}
	for _, who := range []string{"jane@example.com", "joe@example.com"} {
		d := owed(t, "shop", account.Transactional, account.TrackClicks)
		d.Message.ID, d.Recipient.Address = queue.NewID(time.Now()), address(t, who)
		got, err := r.Render(t.Context(), d, []byte(letter))
		if err != nil {
			t.Fatal(err)
		}
		links[who] = trackedLink(t, keys, string(got.Message))
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	click := func(who string) {
		t.Helper()
		answer, err := client.Get(links[who])
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, answer.Body)
		if answer.StatusCode != http.StatusFound || answer.Header.Get("Location") != "https://shop.example/" {
			t.Errorf("%s: %d to %q", who, answer.StatusCode, answer.Header.Get("Location"))
		}
	}
	click("jane@example.com") // waits in the window
	click("joe@example.com")
	withdraw(t, store, "jane@example.com")
	click("jane@example.com")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := tracker.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	joe := event.Person(store.Person("shop", address(t, "joe@example.com")))
	if len(to.events) != 1 || to.events[0].Person != joe {
		t.Errorf("recorded %+v", to.events)
	}
	if n := testutil.ToFloat64(c.withheld); n != 2 {
		t.Errorf("counted %v", n)
	}
}

package queue_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func message() *queue.Message {
	accepted := time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("CET", 3600))
	return &queue.Message{
		ID: queue.NewID(accepted), Tenant: "shop", Stream: "marketing", Campaign: "spring",
		Tags: []string{"a", "b"}, Metadata: json.RawMessage(`{"k":1}`), Accepted: accepted,
	}
}

func TestSelectorMatch(t *testing.T) {
	m := message()
	ann := address(t, "Ann@example.com")
	for _, tc := range []struct {
		name     string
		selector queue.Selector
		want     bool
	}{
		{"everything", queue.Selector{}, true},
		{"message", queue.Selector{Message: m.ID}, true},
		{"other message", queue.Selector{Message: queue.NewID(m.Accepted)}, false},
		{"recipient in another case", queue.Selector{Recipient: address(t, "ANN@example.com")}, true},
		{"other recipient", queue.Selector{Recipient: address(t, "bob@example.com")}, false},
		{"tenant", queue.Selector{Tenant: "shop"}, true},
		{"other tenant", queue.Selector{Tenant: "bank"}, false},
		{"stream", queue.Selector{Stream: "marketing"}, true},
		{"other stream", queue.Selector{Stream: "transactional"}, false},
		{"campaign", queue.Selector{Campaign: "spring"}, true},
		{"other campaign", queue.Selector{Campaign: "autumn"}, false},
		{"domain", queue.Selector{Domain: "example.com"}, true},
		{"domain above", queue.Selector{Domain: "com"}, false},
		{"all together", queue.Selector{m.ID, ann, "shop", "marketing", "spring", "example.com"}, true},
		{"all but one", queue.Selector{m.ID, ann, "shop", "marketing", "spring", "example.org"}, false},
	} {
		if got := tc.selector.Match(m, ann); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestDelivery(t *testing.T) {
	m := message()
	d := &queue.Delivery{Message: m, Index: 7, Recipient: mail.Recipient{Address: address(t, "Ann@Example.com")}, Attempts: 2}
	if got := d.Key().String(); got != "shop/marketing/example.com" {
		t.Error(got)
	}
	if got := d.ID().String(); got != m.ID.String()+"/7" {
		t.Error(got)
	}
	at := time.Date(2026, 3, 1, 14, 0, 0, 0, time.FixedZone("CET", 3600))
	e := d.Event(event.Deferred, at)
	if e.ID != m.ID.String()+"-7-3-deferred" || e.Attempt != 3 || e.Recipient != "Ann@example.com" || e.Index != 7 {
		t.Errorf("%+v", e)
	}
	if !e.Time.Equal(at) || e.Time.Location() != time.UTC {
		t.Error(e.Time)
	}
	if e.Tenant != "shop" || e.Stream != "marketing" || e.Campaign != "spring" || len(e.Tags) != 2 || string(e.Metadata) != `{"k":1}` || e.Message != m.ID.String() {
		t.Errorf("%+v", e)
	}
}

// TestEventIDs holds that what is derived twice is the same event, and that
// different happenings are different events.
func TestEventIDs(t *testing.T) {
	m := message()
	ann := address(t, "ann@example.com")
	accepted := queue.AcceptedEvent(m, 0, ann)
	if accepted.Attempt != 0 || !accepted.Time.Equal(m.Accepted) || accepted.Type != event.Accepted {
		t.Errorf("%+v", accepted)
	}
	if again := queue.AcceptedEvent(m, 0, ann); again.ID != accepted.ID {
		t.Errorf("%s and %s", accepted.ID, again.ID)
	}
	seen := map[string]bool{accepted.ID: true}
	for index := range 3 {
		for attempts := range 3 {
			for _, kind := range []event.Type{event.Delivered, event.Deferred, event.Bounced} {
				d := &queue.Delivery{Message: m, Index: index, Recipient: mail.Recipient{Address: ann}, Attempts: attempts}
				id := d.Event(kind, m.Accepted).ID
				if seen[id] {
					t.Errorf("%s twice", id)
				}
				seen[id] = true
			}
		}
	}
}

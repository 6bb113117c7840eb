package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/privacy/suppress"
)

// TestSigns proves which events speak of the address, and that a refusal by
// policy never does.
func TestSigns(t *testing.T) {
	enhanced := func(subject, detail int) *mail.Reply {
		return &mail.Reply{Code: 550, Enhanced: mail.EnhancedCode{Class: 5, Subject: subject, Detail: detail}}
	}
	for name, test := range map[string]struct {
		e    event.Event
		want suppress.Sign
	}{
		"no such user":            {event.Event{Type: event.Bounced, Category: "invalid_recipient", Reply: enhanced(1, 1)}, suppress.SawHardBounce},
		"no such domain":          {event.Event{Type: event.Bounced, Category: "invalid_recipient"}, suppress.SawHardBounce},
		"policy by its words":     {event.Event{Type: event.Bounced, Category: "policy", Reply: enhanced(1, 0)}, 0},
		"policy by its code":      {event.Event{Type: event.Bounced, Category: "invalid_recipient", Reply: enhanced(7, 1)}, 0},
		"spam":                    {event.Event{Type: event.Bounced, Category: "spam", Reply: enhanced(7, 1)}, 0},
		"unknown":                 {event.Event{Type: event.Bounced, Category: "unknown", Reply: enhanced(0, 0)}, 0},
		"uncategorised":           {event.Event{Type: event.Bounced, Reply: enhanced(1, 1)}, 0},
		"no such user, for days":  {event.Event{Type: event.Expired, Category: "invalid_recipient"}, 0},
		"full":                    {event.Event{Type: event.Expired, Category: "mailbox_full", Reply: enhanced(2, 2)}, suppress.SawSoftBounce},
		"full, and bounced":       {event.Event{Type: event.Bounced, Category: "mailbox_full"}, suppress.SawSoftBounce},
		"inactive":                {event.Event{Type: event.Bounced, Category: "inactive"}, suppress.SawSoftBounce},
		"inactive by policy":      {event.Event{Type: event.Bounced, Category: "inactive", Reply: enhanced(7, 0)}, 0},
		"silent":                  {event.Event{Type: event.Expired, Category: "routing"}, 0},
		"deferred":                {event.Event{Type: event.Deferred, Category: "mailbox_full"}, 0},
		"delivered":               {event.Event{Type: event.Delivered}, suppress.SawDelivery},
		"complained":              {event.Event{Type: event.Complained}, suppress.SawComplaint},
		"opened":                  {event.Event{Type: event.Opened}, 0},
		"unsubscribed is told of": {event.Event{Type: event.Unsubscribed}, 0},
	} {
		test.e.ID, test.e.Tenant, test.e.Recipient = "id", "shop", "reader@example.net"
		o, ok := observe(&event.Record{Position: 7, Event: test.e})
		if ok && !slices.Contains(observedTypes(), test.e.Type) {
			t.Errorf("%s: it is not followed", name)
		}
		if o.Sign != test.want || ok != (test.want != 0) {
			t.Errorf("%s: %+v, %t", name, o, ok)
		}
	}
	for _, recipient := range []string{"", "nobody", "x@erased.invalid"} {
		e := event.Event{ID: "id", Type: event.Bounced, Category: "invalid_recipient", Tenant: "shop", Recipient: recipient}
		if _, ok := observe(&event.Record{Event: e}); ok {
			t.Errorf("%q is suppressed", recipient)
		}
	}
}

// tape is an event log that ends.
type tape struct {
	records []event.Record
	newest  uint64
}

var errTape = errors.New("the tape ends")

func (l *tape) Position() (uint64, error) { return l.newest, nil }

func (l *tape) Follow(_ context.Context, after uint64, handle func([]event.Record) error) error {
	for _, r := range l.records {
		if r.Position <= after {
			continue
		}
		if err := handle([]event.Record{r}); err != nil {
			return err
		}
	}
	return errTape
}

func bounced(position uint64, to string) event.Record {
	return event.Record{Position: position, Event: event.Event{
		ID: fmt.Sprintf("e%d", position), Type: event.Bounced, Time: time.Now(), Tenant: "shop", Stream: "marketing",
		Message: "m", Index: int(position), Recipient: to, Category: "invalid_recipient",
	}}
}

// TestBouncesAreToldOnce proves that events are told of with ids that stay the
// same, again if it is not known that they were, and not a second time.
func TestBouncesAreToldOnce(t *testing.T) {
	list, err := suppress.Open(suppress.Options{Path: filepath.Join(t.TempDir(), "suppress.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	var told []event.Event
	full := errors.New("disk full")
	failure := full
	l := &bounceReader{
		list: list, logger: discard(),
		events: &tape{records: []event.Record{bounced(3, "a@example.net"), bounced(5, "b@example.net"), bounced(6, "a@example.net")}, newest: 6},
		record: func(_ context.Context, events []event.Event) error {
			told = append(told, events...)
			return failure
		},
	}
	if err := l.listen(t.Context()); !errors.Is(err, full) {
		t.Fatal(err)
	}
	failure = nil
	for range 2 {
		if err := l.listen(t.Context()); !errors.Is(err, errTape) {
			t.Fatal(err)
		}
	}
	var ids []string
	for _, e := range told {
		ids = append(ids, e.ID)
	}
	if got := fmt.Sprint(ids); got != "[e3-suppressed e3-suppressed e5-suppressed]" {
		t.Errorf("told %s", got)
	}
	e := told[1]
	if e.Type != event.Suppressed || e.Message != "m" || e.Index != 3 || e.Recipient != "a@example.net" || e.Stream != "" ||
		e.Reason != "hard_bounce" || e.Category != "invalid_recipient" || !e.Time.Equal(told[0].Time) {
		t.Errorf("told %+v", e)
	}
	if at, err := list.Cursor(); at != 5 || err != nil {
		t.Errorf("at %d, %v", at, err)
	}
}

// TestOlderLog proves that what was read before is not read again, since it
// may have been lifted.
func TestOlderLog(t *testing.T) {
	list, err := suppress.Open(suppress.Options{Path: filepath.Join(t.TempDir(), "suppress.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	if err := list.Advance(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	l := &bounceReader{list: list, logger: discard(), events: &tape{records: []event.Record{bounced(3, "a@example.net")}, newest: 3}}
	if err := l.listen(t.Context()); !errors.Is(err, errTape) {
		t.Fatal(err)
	}
	if all, _, err := list.List(t.Context(), suppress.Selector{}, "", 10); len(all) != 0 || err != nil {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestBounceReaderRuns proves that the running daemon turns what its log holds
// into suppressions.
func TestBounceReaderRuns(t *testing.T) {
	d, _ := controlled(t, "")
	complaint := event.Event{ID: "c1", Type: event.Complained, Time: time.Now(), Tenant: "shop", Stream: "marketing", Message: "m", Recipient: "reader@example.net"}
	if err := d.store.Record(t.Context(), []event.Event{complaint}); err != nil {
		t.Fatal(err)
	}
	if e := awaitEvent(t, d, event.Suppressed); e.ID != "c1-suppressed" || e.Reason != "complaint" {
		t.Errorf("event %+v", e)
	}
	reader := address(t, "reader@example.net")
	for stream, want := range map[string]bool{"marketing": true, "transactional": false, "": false, "gone": true} {
		if _, found, err := d.suppressed("shop", stream, reader); found != want || err != nil {
			t.Errorf("%q: %t, %v", stream, found, err)
		}
	}
}

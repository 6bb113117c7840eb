package queuetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// trial is one test with its store.
type trial struct {
	*testing.T
	Harness
	patience time.Duration
}

const (
	tenant = "acme"
	stream = account.Transactional
)

// key is the queue of example.com that submissions go to unless told.
func key() queue.Key { return keyOf("example.com") }

func keyOf(domain mail.Domain) queue.Key {
	return queue.Key{Tenant: tenant, Stream: stream, Domain: domain}
}

// now is the time in the precision that a store must keep.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func (t *trial) address(s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// submission is a small message to recipients; its further properties are the
// caller's to change.
func (t *trial) submission(recipients ...string) *queue.Submission {
	t.Helper()
	at := now()
	s := &queue.Submission{Body: []byte("Subject: hello\r\n\r\nworld\r\n")}
	s.Message = queue.Message{
		ID: queue.NewID(at), Envelope: mail.Envelope{From: t.address("sender@acme.example")},
		Tenant: tenant, Stream: stream, HeaderFrom: "acme.example",
		Accepted: at, Expires: at.Add(24 * time.Hour), Size: int64(len(s.Body)),
	}
	for _, r := range recipients {
		s.Recipients = append(s.Recipients, mail.Recipient{Address: t.address(r)})
	}
	return s
}

// reader is the nth recipient at a domain.
func reader(n int, domain string) string { return fmt.Sprintf("reader%d@%s", n, domain) }

func readers(n int, domain string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = reader(i, domain)
	}
	return all
}

func (t *trial) accept(s *queue.Submission) *queue.Submission {
	t.Helper()
	if err := t.Store().Accept(t.Context(), s); err != nil {
		t.Fatalf("Accept: %v", err)
	}
	return s
}

// acceptTo accepts a small message.
func (t *trial) acceptTo(recipients ...string) *queue.Submission {
	t.Helper()
	return t.accept(t.submission(recipients...))
}

func (t *trial) next(key queue.Key, limit int) []*queue.Delivery {
	t.Helper()
	deliveries, err := t.Store().Next(t.Context(), key, limit)
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	if len(deliveries) > limit {
		t.Fatalf("Next gave %d of at most %d", len(deliveries), limit)
	}
	return deliveries
}

// take leases n recipients, waiting for them to become due.
func (t *trial) take(key queue.Key, n int) []*queue.Delivery {
	t.Helper()
	var taken []*queue.Delivery
	deadline := time.Now().Add(t.patience)
	for len(taken) < n {
		taken = append(taken, t.next(key, n-len(taken))...)
		if len(taken) == n {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %d of %d recipients of %s became due", len(taken), n, key)
		}
		time.Sleep(time.Millisecond)
	}
	return taken
}

// wantNone fails if anything is due.
func (t *trial) wantNone(key queue.Key) {
	t.Helper()
	if got := t.next(key, 10); len(got) > 0 {
		t.Fatalf("Next gave %v where nothing is due", names(got))
	}
}

// ready waits until Ready has reported all of the keys, and nothing else.
func (t *trial) ready(keys ...queue.Key) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), t.patience)
	defer cancel()
	missing := slices.Clone(keys)
	for len(missing) > 0 {
		got, err := t.Store().Ready(ctx)
		if err != nil {
			t.Fatalf("Ready did not report %v: %v", missing, err)
		}
		if len(got) == 0 {
			t.Fatal("Ready returned no queue and no error")
		}
		for _, k := range got {
			at := slices.Index(missing, k)
			if at < 0 {
				t.Fatalf("Ready reported %s, which it should not have", k)
			}
			missing = slices.Delete(missing, at, at+1)
		}
	}
}

// wantSilence fails if Ready reports anything.
func (t *trial) wantSilence() {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	if got, err := t.Store().Ready(ctx); err == nil {
		t.Fatalf("Ready reported %v, which it should not have", got)
	}
}

// outcome ends a delivery; any kind but delivered carries a reason.
func outcome(d *queue.Delivery, kind event.Type) queue.Outcome {
	e := d.Event(kind, now())
	if kind == event.Delivered {
		e.Reply = &mail.Reply{Code: 250, Enhanced: mail.EnhancedCode{Class: 2}, Text: "taken"}
	} else {
		e.Reason = "the test says so"
	}
	return queue.Outcome{Recipient: d.ID(), Event: e}
}

func (t *trial) settle(kind event.Type, deliveries ...*queue.Delivery) {
	t.Helper()
	outcomes := make([]queue.Outcome, len(deliveries))
	for i, d := range deliveries {
		outcomes[i] = outcome(d, kind)
	}
	if err := t.Store().Settle(t.Context(), outcomes); err != nil {
		t.Fatalf("Settle: %v", err)
	}
}

func deferral(d *queue.Delivery, until time.Time) queue.Deferral {
	e := d.Event(event.Deferred, now())
	e.Reply = &mail.Reply{Code: 451, Enhanced: mail.EnhancedCode{Class: 4, Subject: 7, Detail: 1}, Text: "later"}
	e.NextAttempt = until
	return queue.Deferral{Recipient: d.ID(), Until: until, Event: e}
}

func (t *trial) deferUntil(until time.Time, deliveries ...*queue.Delivery) {
	t.Helper()
	deferrals := make([]queue.Deferral, len(deliveries))
	for i, d := range deliveries {
		deferrals[i] = deferral(d, until)
	}
	if err := t.Store().Defer(t.Context(), deferrals); err != nil {
		t.Fatalf("Defer: %v", err)
	}
}

// list returns all pages, in the order of message and index.
func (t *trial) list(s queue.Selector, limit int) []queue.Entry {
	t.Helper()
	all, err := listAll(t.Context(), t.Store(), s, limit)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func listAll(ctx context.Context, store queue.Store, s queue.Selector, limit int) ([]queue.Entry, error) {
	var all []queue.Entry
	for after := ""; ; {
		page, next, err := store.List(ctx, s, after, limit)
		if err != nil {
			return nil, fmt.Errorf("List: %w", err)
		}
		if len(page) > limit {
			return nil, fmt.Errorf("List gave %d of at most %d", len(page), limit)
		}
		all = append(all, page...)
		if next == "" {
			break
		}
		if next == after {
			return nil, fmt.Errorf("List gave the page after %q twice", after)
		}
		after = next
	}
	slices.SortFunc(all, func(a, b queue.Entry) int { return compareIDs(entryID(a), entryID(b)) })
	return all, nil
}

func entryID(e queue.Entry) queue.RecipientID {
	return queue.RecipientID{Message: e.Message.ID, Index: e.Index}
}

func compareIDs(a, b queue.RecipientID) int {
	if c := strings.Compare(string(a.Message[:]), string(b.Message[:])); c != 0 {
		return c
	}
	return a.Index - b.Index
}

// wantOwed fails unless exactly the recipients are owed.
func (t *trial) wantOwed(want ...queue.RecipientID) {
	t.Helper()
	slices.SortFunc(want, compareIDs)
	var got []queue.RecipientID
	for _, e := range t.list(queue.Selector{}, 1000) {
		got = append(got, entryID(e))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("owed are %d recipients, want %d:\n%s", len(got), len(want), difference(got, want))
	}
}

func difference(got, want []queue.RecipientID) string {
	var b strings.Builder
	for _, id := range got {
		if !slices.Contains(want, id) {
			fmt.Fprintf(&b, "too much: %s\n", id)
		}
	}
	for _, id := range want {
		if !slices.Contains(got, id) {
			fmt.Fprintf(&b, "missing: %s\n", id)
		}
	}
	return b.String()
}

// ids names all recipients of submissions.
func ids(submissions ...*queue.Submission) []queue.RecipientID {
	var all []queue.RecipientID
	for _, s := range submissions {
		for i := range s.Recipients {
			all = append(all, queue.RecipientID{Message: s.Message.ID, Index: i})
		}
	}
	return all
}

func names(deliveries []*queue.Delivery) []string {
	all := make([]string, len(deliveries))
	for i, d := range deliveries {
		all[i] = d.ID().String()
	}
	return all
}

// history returns the types of a recipient's events in their order.
func history(events []event.Event, id queue.RecipientID) []event.Type {
	var kinds []event.Type
	for _, e := range events {
		if e.Message == id.Message.String() && e.Index == id.Index {
			kinds = append(kinds, e.Type)
		}
	}
	return kinds
}

// wantHistory fails unless a recipient has exactly these events.
func (t *trial) wantHistory(id queue.RecipientID, want ...event.Type) {
	t.Helper()
	if got := history(t.Events(t.T), id); !slices.Equal(got, want) {
		t.Fatalf("events of %s are %q, want %q", id, got, want)
	}
}

// same compares what JSON shows of two values, the form in which they matter.
func (t *trial) same(what string, got, want any) {
	t.Helper()
	a, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Fatalf("%s is\n%s\nwant\n%s", what, a, b)
	}
}

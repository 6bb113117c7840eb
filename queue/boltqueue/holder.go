package boltqueue

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// erasedReason stands in the dropped events of an erasure.
const erasedReason = "erased"

// HolderName names the store among the holders of personal data.
func (s *Store) HolderName() string { return "queue" }

func selectorOf(subject person.Subject) queue.Selector {
	return queue.Selector{Tenant: subject.Tenant, Recipient: subject.Address}
}

// holdsOn returns the holds that name the subject's address.
func (s *Store) holdsOn(ctx context.Context, subject person.Subject) ([]queue.Hold, error) {
	all, err := s.Holds(ctx)
	return slices.DeleteFunc(all, func(h queue.Hold) bool {
		x := h.Selector
		return x.Recipient.IsZero() || x.Recipient.Key() != subject.Address.Key() ||
			x.Tenant != "" && x.Tenant != subject.Tenant
	}), err
}

// Find counts the recipients owed at the subject's address, and the holds that
// name it.
func (s *Store) Find(ctx context.Context, subject person.Subject) (int, error) {
	holds, err := s.holdsOn(ctx, subject)
	if err != nil {
		return 0, err
	}
	n := len(holds)
	err = s.walk(ctx, selectorOf(subject), place{}, func(*found) bool {
		n++
		return true
	})
	return n, err
}

// Export yields a record for each message that waits for the subject, and for
// each hold that names the address.
func (s *Store) Export(ctx context.Context, subject person.Subject, yield func(person.Record) error) error {
	holds, err := s.holdsOn(ctx, subject)
	if err != nil {
		return err
	}
	for _, h := range holds {
		record := person.Record{Kind: "hold", Time: h.Since, Data: namedHold{h.ID.String(), h.Selector.Recipient, h.Reason}}
		if err := yield(record); err != nil {
			return err
		}
	}
	for after := ""; ; {
		page, next, err := s.List(ctx, selectorOf(subject), after, pageRows)
		if err != nil {
			return err
		}
		for i := range page {
			if err := yield(personRecord(&page[i])); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

// namedHold is what a subject may know of a hold that names them.
type namedHold struct {
	Hold      string       `json:"hold"`
	Recipient mail.Address `json:"recipient"`
	Reason    string       `json:"reason"`
}

// queued is what a subject may know of a message that waits for them.
type queued struct {
	Message   string       `json:"message"`
	Index     int          `json:"index"`
	From      mail.Address `json:"from"`
	Recipient mail.Address `json:"recipient"`
	Campaign  string       `json:"campaign,omitempty"`
	Attempts  int          `json:"attempts"`
	Due       time.Time    `json:"due"`
	Expires   time.Time    `json:"expires"`
}

func personRecord(e *queue.Entry) person.Record {
	m := e.Message
	return person.Record{Kind: "queued message", Time: m.Accepted, Data: queued{
		Message: m.ID.String(), Index: e.Index, From: m.Envelope.From, Recipient: e.Recipient.Address,
		Campaign: m.Campaign, Attempts: e.Attempts, Due: e.Due, Expires: m.Expires,
	}}
}

// Rectify changes nothing and returns 0: mail that was submitted to an address
// is delivered there or not at all; it is not readdressed.
func (s *Store) Rectify(context.Context, person.Subject, mail.Address) (int, error) { return 0, nil }

// Erase cancels what waits for the subject, with a dropped event for each, and
// ends the holds that name the address, which no longer hold anything. What
// is leased at the moment is in delivery and out of reach; it ends with its
// outcome, or is dropped when it comes back, and the next call finds its events.
func (s *Store) Erase(ctx context.Context, subject person.Subject) (int, error) {
	n, err := s.Cancel(ctx, selectorOf(subject), erasedReason)
	if err != nil {
		return n, err
	}
	holds, err := s.holdsOn(ctx, subject)
	if err != nil {
		return n, err
	}
	for _, h := range holds {
		if _, err := s.Release(ctx, h.ID); err != nil && !errors.Is(err, queue.ErrNotFound) {
			return n, err
		}
		n++
	}
	if err := s.journal.Forget(); err != nil {
		return n, err
	}
	return n, s.awaitEvents(ctx, s.journal.End())
}

// awaitEvents waits until the event log has every event up to a position, so
// that what is erased there next includes them.
func (s *Store) awaitEvents(ctx context.Context, end journal.Position) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.events.passed() < end {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.stop:
			return queue.ErrClosed
		case <-tick.C:
		}
	}
	return nil
}

// Expire has nothing to do and returns 0: each message carries the end of its
// time, and goes then.
func (s *Store) Expire(context.Context, time.Time) (int, error) { return 0, nil }

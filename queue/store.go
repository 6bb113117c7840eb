package queue

import (
	"context"
	"errors"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
)

// Errors of stores. Callers test for them with errors.Is.
var (
	// ErrFull: there is no room, now; nothing was accepted. SMTP says 452
	// 4.3.1.
	ErrFull = errors.New("queue storage is full")
	// ErrUnavailable: the store cannot write durably; nothing was accepted.
	// SMTP says 452 4.3.1 too.
	ErrUnavailable = errors.New("queue storage is unavailable")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("queue storage is closed")
	// ErrNotFound: no such message or recipient is owed.
	ErrNotFound = errors.New("not in the queue")
	// ErrID: text that is no message id.
	ErrID = errors.New("not a message id")
	// ErrDamaged: what is on disk is not what was written; it is kept aside.
	ErrDamaged = errors.New("stored message is damaged")
)

// Store is the truth about what is owed. It is safe for concurrent use.
//
// A recipient is waiting, or leased between Next and the Settle, Defer or
// Return that gives it back, or gone. Leases live in memory: after a crash
// what was leased waits again, with a short jittered delay.
type Store interface {
	// Accept makes the submission durable before it returns nil. On any error
	// nothing was accepted.
	Accept(ctx context.Context, s *Submission) error

	// Ready waits until at least one queue has become due that was not
	// reported since Next last found it empty, and returns all such queues.
	Ready(ctx context.Context) ([]Key, error)
	// Next leases up to limit due recipients of a queue, those due longest
	// first. Fewer than limit means that nothing more is due now: Ready will
	// report the queue again.
	Next(ctx context.Context, key Key, limit int) ([]*Delivery, error)
	// Body reads the submitted bytes of a message that has a leased recipient.
	Body(ctx context.Context, m *Message) ([]byte, error)

	// Settle ends leased recipients, each outcome and its event in one write
	// that is durable on return. On an error the recipients stay leased, and
	// the caller must call again: the outcome is known and must not be lost.
	Settle(ctx context.Context, outcomes []Outcome) error
	// Defer sends leased recipients back to wait, durably, with one attempt
	// more unless none was made.
	Defer(ctx context.Context, deferrals []Deferral) error
	// Return gives leases back as if they had never been taken: no attempt,
	// no event, no write.
	Return(deliveries []*Delivery)

	// Record makes events that end no recipient (opens, clicks) durable.
	Record(ctx context.Context, events []event.Event) error

	// Cancel ends every waiting recipient that matches, each with a dropped
	// event for that reason, and returns how many when all have ended. It takes
	// effect at one moment, durably and as a whole: from then on nothing that
	// matched is offered again, whatever becomes of the caller or the process,
	// and what is accepted later is no concern of it. What is leased at that
	// moment goes on, and is cancelled too if it comes back to wait. An error,
	// that of ctx among them, leaves the rest to the store, which ends it in its
	// own time; only if Cancel never took effect did nothing change.
	Cancel(ctx context.Context, s Selector, reason string) (int, error)
	// Retry makes every waiting recipient that matches due now.
	Retry(ctx context.Context, s Selector) (int, error)

	// Hold keeps every recipient that matches, now or later, from being offered
	// until the hold is released, durably. What is leased goes on, and what has
	// expired is offered all the same, so that it can be expired. A hold with
	// the id of another replaces it.
	Hold(ctx context.Context, h Hold) error
	// Release ends a hold durably, lets what it kept back be offered at once,
	// and returns how many waiting recipients it matched.
	Release(ctx context.Context, id ID) (int, error)
	// Holds returns the holds in force, ordered by id.
	Holds(ctx context.Context) ([]Hold, error)
	// Usage returns what a tenant has waiting; it is cheap and exact.
	Usage(tenant string) Usage

	// Queues returns a status for each queue that holds anything, ordered by
	// key.
	Queues(ctx context.Context) ([]Status, error)
	// List returns owed recipients that match, in pages: after is empty or
	// what the last page returned as next; next is empty at the end.
	List(ctx context.Context, s Selector, after string, limit int) (entries []Entry, next string, err error)
	// Stats returns figures of the whole store; it is cheap.
	Stats() Stats

	// Close writes a last checkpoint. Nothing may be leased.
	Close() error
}

// Selector chooses recipients; a zero field matches all. The zero Selector
// matches everything.
type Selector struct {
	Message   ID
	Recipient mail.Address
	Tenant    string
	Stream    string
	Campaign  string
	Domain    mail.Domain
}

// Match reports whether a recipient of m is selected.
func (s Selector) Match(m *Message, recipient mail.Address) bool {
	return (s.Message.IsZero() || s.Message == m.ID) &&
		(s.Recipient.IsZero() || s.Recipient.Key() == recipient.Key()) &&
		(s.Tenant == "" || s.Tenant == m.Tenant) &&
		(s.Stream == "" || s.Stream == m.Stream) &&
		(s.Campaign == "" || s.Campaign == m.Campaign) &&
		(s.Domain == "" || s.Domain == recipient.Domain())
}

// Status is one queue at a glance.
type Status struct {
	Key Key
	// Waiting counts owed recipients, the leased ones among them.
	Waiting int
	// Leased counts those being tried now.
	Leased int
	// Oldest is when the longest-waiting message was accepted.
	Oldest time.Time
	// NextDue is when the next recipient is due; zero if all are leased.
	NextDue time.Time
	// Held reports a hold on all of the queue.
	Held bool
	// Opens is when the queue may next be offered; zero if it may now.
	Opens time.Time
}

// Entry is one owed recipient as an operator sees it.
type Entry struct {
	Message   *Message
	Index     int
	Recipient mail.Recipient
	Attempts  int
	Due       time.Time
	Leased    bool
	// Held is the reason of a hold that matches; empty for none.
	Held string
	// Last is the event of the last deferral; nil before the first.
	Last *event.Event
}

// Stats are figures of the whole store.
type Stats struct {
	// Recipients owed and messages that hold them.
	Recipients, Messages int64
	// Queues that hold anything.
	Queues int
	// JournalBytes and DatabaseBytes on disk.
	JournalBytes, DatabaseBytes int64
	// Syncs and Records written since the start: their quotient is the group.
	Syncs, Records int64
	// Damaged counts records and segments set aside since the start.
	Damaged int64
	// Fault says why nothing is accepted; nil while all is well.
	Fault error
}

// Package queue defines what the daemon owes: messages, their recipients, the
// store that keeps them and the policy by which they are tried again. The
// stores themselves live in the rooms below it.
package queue

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
)

// Message is one accepted body with its envelope, without its recipients.
// Once accepted it never changes, so deliveries share it.
type Message struct {
	ID       ID
	Envelope mail.Envelope
	Tenant   string
	Stream   string
	Campaign string
	Tags     []string
	// Metadata is a JSON object of the submitter's, handed on in events.
	Metadata json.RawMessage
	// HeaderFrom is the domain of the header From, which DKIM aligns with.
	HeaderFrom mail.Domain
	// Pool of sources that the submitter asked for; empty for the one of its
	// stream.
	Pool string
	// Track is what the submitter asked to measure.
	Track account.Track
	// Measure bounds what may be kept of it, beside what tenant, stream and
	// reader allow.
	Measure account.Measure
	// UTM are query parameters to add to its links, name=value pairs with &
	// between them, percent-encoded; empty for none.
	UTM string
	// Accepted is when the daemon took responsibility.
	Accepted time.Time
	// NotBefore delays the first attempt; zero for at once.
	NotBefore time.Time
	// Expires ends all attempts.
	Expires time.Time
	// Size is the body's length in octets.
	Size int64
}

// Submission is a message on its way into the store.
type Submission struct {
	Message Message
	// Recipients are never empty; a recipient's index is its place here.
	Recipients []mail.Recipient
	// Body is the message as it will be rendered: header and content with
	// CRLF line ends. The store does not keep the slice.
	Body []byte
}

// Key names a queue: recipients waiting for one domain in one stream of one
// tenant.
type Key struct {
	Tenant string
	Stream string
	Domain mail.Domain
}

// KeyOf names the queue that a message waits in for one of its recipients.
func KeyOf(m *Message, r *mail.Recipient) Key {
	return Key{Tenant: m.Tenant, Stream: m.Stream, Domain: r.Address.Domain()}
}

// String returns tenant/stream/domain.
func (k Key) String() string { return k.Tenant + "/" + k.Stream + "/" + string(k.Domain) }

// RecipientID names one recipient of one message: the unit of delivery.
type RecipientID struct {
	Message ID
	Index   int
}

// String returns message/index.
func (r RecipientID) String() string { return r.Message.String() + "/" + strconv.Itoa(r.Index) }

// Delivery is one recipient handed out to be tried. Whoever holds it owes the
// store a Settle, a Defer or a Return.
type Delivery struct {
	Message   *Message
	Index     int
	Recipient mail.Recipient
	// Attempts is how many were made before this one.
	Attempts int
	// Due is when this attempt became due.
	Due time.Time
	// Last is the event of the last deferral; nil before the first.
	Last *event.Event
}

// ID names the recipient.
func (d *Delivery) ID() RecipientID { return RecipientID{d.Message.ID, d.Index} }

// Key names the queue that the recipient waits in.
func (d *Delivery) Key() Key {
	return Key{d.Message.Tenant, d.Message.Stream, d.Recipient.Address.Domain()}
}

// Event begins an event about this delivery: everything but what happened.
func (d *Delivery) Event(kind event.Type, at time.Time) event.Event {
	return newEvent(d.Message, d.Index, d.Recipient.Address, d.Attempts+1, kind, at)
}

// AcceptedEvent is the event of a recipient's acceptance. Stores derive it
// from the accepted message rather than keep it twice.
func AcceptedEvent(m *Message, index int, recipient mail.Address) event.Event {
	return newEvent(m, index, recipient, 0, event.Accepted, m.Accepted)
}

func newEvent(m *Message, index int, recipient mail.Address, attempt int, kind event.Type, at time.Time) event.Event {
	id := m.ID.String() + "-" + strconv.Itoa(index) + "-" + strconv.Itoa(attempt) + "-" + string(kind)
	return event.Event{
		ID: id, Type: kind, Time: at.UTC(),
		Tenant: m.Tenant, Stream: m.Stream, Campaign: m.Campaign, Tags: m.Tags, Metadata: m.Metadata,
		Message: m.ID.String(), Index: index, Recipient: recipient.String(), Attempt: attempt,
	}
}

// Outcome ends a recipient.
type Outcome struct {
	Recipient RecipientID
	// Event is delivered, bounced, expired or dropped.
	Event event.Event
}

// Deferral sends a recipient back to wait.
type Deferral struct {
	Recipient RecipientID
	// Until is when it is due again.
	Until time.Time
	// Uncounted: no attempt was made.
	Uncounted bool
	// Event is deferred, with the reply or the reason.
	Event event.Event
}

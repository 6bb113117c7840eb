// Package event defines what the daemon tells of a recipient's fate and of a
// reader's doings: one JSON shape for every consumer.
package event

import (
	"encoding/json"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Type names what happened.
type Type string

const (
	// Accepted: the recipient is on disk and owed.
	Accepted Type = "accepted"
	// Delivered: the remote server took responsibility.
	Delivered Type = "delivered"
	// Deferred: an attempt failed for now; another follows.
	Deferred Type = "deferred"
	// Bounced: the remote server, or a rule of ours, refused for good.
	Bounced Type = "bounced"
	// Expired: the recipient was tried until its time was up.
	Expired Type = "expired"
	// Dropped: not sent on purpose; Reason says why.
	Dropped Type = "dropped"
	// Opened: the pixel was fetched.
	Opened Type = "opened"
	// Clicked: a link was followed; URL says which.
	Clicked Type = "clicked"
	// Unsubscribed: the reader asked for no more.
	Unsubscribed Type = "unsubscribed"
)

// Event is one thing that happened to one recipient. Its JSON form is a public
// contract, described in docs/events.md: fields are added, never changed.
type Event struct {
	// ID is stable: a consumer that sees it twice saw the same event twice.
	ID   string    `json:"id"`
	Type Type      `json:"type"`
	Time time.Time `json:"time"`

	Tenant   string          `json:"tenant,omitempty"`
	Stream   string          `json:"stream,omitempty"`
	Campaign string          `json:"campaign,omitempty"`
	Tags     []string        `json:"tags,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`

	// Message is the message id of the reply to the submission.
	Message string `json:"message"`
	// Index is the recipient's place in the message, from 0.
	Index int `json:"index"`
	// Recipient is the address, as submitted.
	Recipient string `json:"recipient,omitempty"`

	// Site and Source say between whom the attempt was made.
	Site   string `json:"site,omitempty"`
	Source string `json:"source,omitempty"`
	// Reply is the answer that decided; absent where nobody answered.
	Reply *mail.Reply `json:"reply,omitempty"`
	// Attempt counts from 1; 0 before the first.
	Attempt int `json:"attempt,omitempty"`
	// NextAttempt is when a deferred recipient is tried again.
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	// Reason says in words why a recipient was dropped, expired or bounced
	// without a remote reply, or why an attempt failed without one.
	Reason string `json:"reason,omitempty"`
	// URL is the target of a clicked link.
	URL string `json:"url,omitempty"`
}

// Record is an event at its place in the one order of all events.
type Record struct {
	// Position grows from record to record, over restarts too.
	Position uint64
	Event    Event
}

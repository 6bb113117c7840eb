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
	// Complained: the reader called the message spam.
	Complained Type = "complained"
	// Suppressed: the address is not mailed any more; Reason says why. Stream
	// is the one that it holds for, empty for all that the reason concerns.
	Suppressed Type = "suppressed"
	// Unsuppressed: a suppression was lifted; Reason says which.
	Unsuppressed Type = "unsuppressed"
	// RateExceeded: too large a share of the mail bounced or was complained
	// about. It is about no recipient; Rate says what follows.
	RateExceeded Type = "rate_exceeded"
)

// Person stands for a reader as tracking tokens name one: a keyed hash.
type Person [8]byte

// Event is one thing that happened, to one recipient but for RateExceeded. Its JSON form is a public
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
	// Host is the mail exchanger that was spoken to, and TLS the protection it
	// was spoken to under; absent where it was none.
	Host string `json:"host,omitempty"`
	TLS  *TLS   `json:"tls,omitempty"`
	// Reply is the answer that decided; absent where nobody answered.
	Reply *mail.Reply `json:"reply,omitempty"`
	// Category is what a negative reply is about, such as mailbox_full.
	Category string `json:"category,omitempty"`
	// Attempt counts from 1; 0 before the first.
	Attempt int `json:"attempt,omitempty"`
	// NextAttempt is when a deferred recipient is tried again.
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	// Reason says in words why a recipient was dropped, expired or bounced
	// without a remote reply, or why an attempt failed without one.
	Reason string `json:"reason,omitempty"`
	// URL is the target of a clicked link.
	URL string `json:"url,omitempty"`
	// Machine says why a hit is not a person's; empty for a person's.
	Machine string `json:"machine,omitempty"`
	// Rate is the share of RateExceeded.
	Rate *Rate `json:"rate,omitempty"`
	// Person is whose hit it is, for those who decide whether it may be
	// recorded; it is never written down.
	Person Person `json:"-"`
}

// Rate is a share of the mail that passed a threshold. What it is a share of,
// the fields of the event say: all of the tenant, stream and campaign that they
// name, or what of the stream goes to Site.
type Rate struct {
	// Of is bounces or complaints.
	Of string `json:"of"`
	// Level is tenant, stream, campaign or site.
	Level string `json:"level"`
	// Count of Sample recipients: of those delivered or bounced for bounces, of
	// those delivered for complaints. Percent is that share.
	Count   int     `json:"count"`
	Sample  int     `json:"sample"`
	Percent float64 `json:"percent"`
	// Threshold that was passed, in percent.
	Threshold float64 `json:"threshold"`
	// Window that was looked at, in seconds.
	Window int `json:"window"`
	// Action that followed: warn, slow or hold.
	Action string `json:"action"`
	// Hold is the id of the hold, and Until the end of the pause.
	Hold  string    `json:"hold,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// TLS is the protection of one connection.
type TLS struct {
	// Version, such as "TLS 1.3", and Cipher by their registered names.
	Version string `json:"version"`
	Cipher  string `json:"cipher"`
	// Verified says by what the server proved who it is: dane, mta-sts or
	// webpki; empty where nothing did.
	Verified string `json:"verified,omitempty"`
}

// Record is an event at its place in the one order of all events.
type Record struct {
	// Position grows from record to record, over restarts too.
	Position uint64
	Event    Event
}

// Package api is the admin interface as its clients see it: the requests and
// answers as JSON, and a client for the daemon's unix socket.
package api

import (
	"math"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
)

// Version answers GET /v1/version.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	// Started is when the daemon was.
	Started time.Time `json:"started"`
}

// Queue is one queue in the answer to GET /v1/queues.
type Queue struct {
	Tenant  string    `json:"tenant"`
	Stream  string    `json:"stream"`
	Domain  string    `json:"domain"`
	Waiting int       `json:"waiting"`
	Leased  int       `json:"leased"`
	Oldest  time.Time `json:"oldest,omitzero"`
	NextDue time.Time `json:"next_due,omitzero"`
	// Held reports a hold on all of the queue; Opens is when its window opens,
	// absent if it is open.
	Held  bool      `json:"held,omitempty"`
	Opens time.Time `json:"opens,omitzero"`
}

// Queues answers GET /v1/queues.
type Queues struct {
	Queues []Queue `json:"queues"`
	// Recipients and Messages are the totals.
	Recipients int64 `json:"recipients"`
	Messages   int64 `json:"messages"`
	// Fault says why nothing is accepted; empty while all is well.
	Fault string `json:"fault,omitempty"`
}

// Selector chooses recipients; empty fields match all.
type Selector struct {
	Message   string `json:"message,omitempty"`
	Recipient string `json:"recipient,omitempty"`
	Tenant    string `json:"tenant,omitempty"`
	Stream    string `json:"stream,omitempty"`
	Campaign  string `json:"campaign,omitempty"`
	Domain    string `json:"domain,omitempty"`
}

// Recipient is one owed recipient.
type Recipient struct {
	Message   string    `json:"message"`
	Index     int       `json:"index"`
	Recipient string    `json:"recipient"`
	From      string    `json:"from"`
	Tenant    string    `json:"tenant"`
	Stream    string    `json:"stream"`
	Campaign  string    `json:"campaign,omitempty"`
	Size      int64     `json:"size"`
	Accepted  time.Time `json:"accepted"`
	Expires   time.Time `json:"expires"`
	Attempts  int       `json:"attempts"`
	Due       time.Time `json:"due"`
	Leased    bool      `json:"leased,omitempty"`
	// Held is the reason of a hold that matches.
	Held string `json:"held,omitempty"`
	// LastReply and LastReason tell of the last attempt.
	LastReply  *mail.Reply `json:"last_reply,omitempty"`
	LastReason string      `json:"last_reason,omitempty"`
}

// RecipientPage answers POST /v1/recipients.
type RecipientPage struct {
	Recipients []Recipient `json:"recipients"`
	// Next continues the list; empty at its end.
	Next string `json:"next,omitempty"`
}

// ListRequest asks for a page of owed recipients. It is posted, not put in a
// URL, since a selector may hold an address.
type ListRequest struct {
	Selector Selector `json:"selector"`
	After    string   `json:"after,omitempty"`
	// Limit is the length of the page; 0 for 100.
	Limit int `json:"limit,omitempty"`
}

// ChangeRequest is posted to /v1/retry, /v1/cancel and /v1/holds.
type ChangeRequest struct {
	Selector Selector `json:"selector"`
	// All must be set where the selector is empty, so that a slip of the
	// keyboard does not reach every message.
	All bool `json:"all,omitempty"`
	// Reason goes into the event of each cancelled recipient, and is shown with
	// a held one.
	Reason string `json:"reason,omitempty"`
}

// Changed answers a ChangeRequest.
type Changed struct {
	Recipients int `json:"recipients"`
}

// Hold keeps what it selects from being sent until it is released: it answers
// POST /v1/holds, and GET /v1/holds with all there are. DELETE /v1/holds/ID
// ends it and is answered by Changed.
type Hold struct {
	ID       string    `json:"id"`
	Selector Selector  `json:"selector"`
	Reason   string    `json:"reason"`
	Since    time.Time `json:"since"`
}

// Totals answers GET /v1/totals: counts since the daemon started.
type Totals struct {
	// Accepted counts messages handed in.
	Accepted int64 `json:"accepted"`
	// Outcomes count recipients by what became of an attempt: delivered,
	// deferred, bounced, expired, dropped.
	Outcomes map[string]int64 `json:"outcomes"`
}

// SendRequest is posted to /v1/messages.
type SendRequest struct {
	Tenant string   `json:"tenant,omitempty"`
	From   string   `json:"from"`
	To     []string `json:"to"`
	// Message is header and body; control headers are honoured.
	Message []byte `json:"message"`
}

// Sent answers a SendRequest.
type Sent struct {
	Message string `json:"message"`
}

// Site is one destination site in the answer to GET /v1/sites.
type Site struct {
	Site        string     `json:"site"`
	Queues      int        `json:"queues"`
	Connections int        `json:"connections"`
	InFlight    int        `json:"in_flight"`
	Throttles   []Throttle `json:"throttles,omitempty"`
}

// Throttle is a limit in force beyond the configured ones.
type Throttle struct {
	Site   string `json:"site"`
	Source string `json:"source,omitempty"`
	// Route is the hosts that it holds for; empty for the whole site.
	Route string `json:"route,omitempty"`
	Name  string `json:"name"`
	// Rule of a provider that asked for it.
	Rule string `json:"rule,omitempty"`
	// Tenant and Campaign that it holds for; empty for all.
	Tenant   string      `json:"tenant,omitempty"`
	Campaign string      `json:"campaign,omitempty"`
	Reason   string      `json:"reason"`
	Cause    *mail.Reply `json:"cause,omitempty"`
	Until    time.Time   `json:"until,omitzero"`
}

// Newest, as a position to begin after, skips every event that is there.
const Newest uint64 = math.MaxUint64

// Record is one line of the answer to GET /v1/events.
type Record struct {
	// Position continues the stream after this record.
	Position uint64      `json:"position,string"`
	Event    event.Event `json:"event"`
}

// Line is a Record as one flat object: the event's fields and its position.
type Line struct {
	event.Event
	Position uint64 `json:"position,string"`
}

// SubjectRequest is posted to /v1/subjects/{find,export,erase,rectify}.
type SubjectRequest struct {
	Tenant  string `json:"tenant"`
	Address string `json:"address"`
	// To is the corrected address of a rectification.
	To string `json:"to,omitempty"`
}

// SubjectReport says how much each store held or changed.
type SubjectReport struct {
	Stores []StoreCount `json:"stores"`
}

// StoreCount is what one store of personal data held or changed.
type StoreCount struct {
	Store   string `json:"store"`
	Records int    `json:"records"`
}

// Error is the body of every answer that is not a success, and what Client
// returns for one.
type Error struct {
	Status  int    `json:"status"`
	Message string `json:"error"`
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

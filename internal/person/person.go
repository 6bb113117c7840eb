// Package person holds the values in which the daemon speaks of the people
// behind addresses when a privacy duty is done: whom it is about and what is
// kept. Every store of personal data answers in them.
package person

import (
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Subject is one person as one tenant knows them.
type Subject struct {
	Tenant  string
	Address mail.Address
}

// Record is one thing kept about a subject.
type Record struct {
	// Kind says what it is, such as "event" or "suppression".
	Kind string `json:"kind"`
	// Time is when it was written.
	Time time.Time `json:"time"`
	// Data is the thing itself, as JSON would show it to the subject.
	Data any `json:"data"`
}

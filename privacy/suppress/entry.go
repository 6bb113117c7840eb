// Package suppress answers whether an address may be mailed: by this tenant,
// on this stream. It keeps one entry for each reason not to, in bbolt, under a
// keyed hash of the address.
package suppress

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// AllTenants in the place of a tenant is the operator's own list: nobody mails
// who is on it.
const AllTenants = "*"

// Entry is one reason not to mail an address.
type Entry struct {
	// Tenant whose mail it keeps back, or AllTenants.
	Tenant string `json:"tenant"`
	// Stream that it holds for; empty for all that Reason allows: see
	// Reason.Bulk.
	Stream string `json:"stream,omitempty"`
	// Address is the zero one where only its hash is kept.
	Address mail.Address `json:"address,omitzero"`
	// Hash stands for the address where that is not known; the zero one
	// elsewhere.
	Hash   Hash      `json:"hash,omitzero"`
	Reason Reason    `json:"reason"`
	Time   time.Time `json:"time"`
	// Expires is when it ends; zero for never.
	Expires time.Time `json:"expires,omitzero"`
	// Source is the id of the message or event that led to it, if one did.
	Source string `json:"source,omitempty"`
}

// ErrEntry: an entry that cannot be kept.
var ErrEntry = errors.New("invalid suppression")

const maxName = 255

// check refuses what has no place in a key, and what the reason forbids.
func (e *Entry) check() error {
	if e.Tenant == "" || e.Reason == "" || e.Address.IsZero() == e.Hash.IsZero() {
		return fmt.Errorf("%w: it needs a tenant, a reason, and an address or its hash", ErrEntry)
	}
	for _, name := range []string{e.Tenant, e.Stream, string(e.Reason)} {
		if len(name) > maxName || strings.IndexByte(name, 0) >= 0 {
			return fmt.Errorf("%w: a name is longer than %d octets or has a NUL", ErrEntry, maxName)
		}
	}
	if !e.Expires.IsZero() && !e.Reason.MayExpire() {
		return fmt.Errorf("%w: one that is %s does not expire", ErrEntry, e.Reason)
	}
	return nil
}

// expired reports whether it ended before now.
func (e *Entry) expired(now time.Time) bool { return over(e.Expires, now) }

// over reports whether an end, zero for none, has come.
func over(end, now time.Time) bool { return !end.IsZero() && !end.After(now) }

// withoutErased leaves the address out of an erased entry, whose key alone
// tells it.
func (e *Entry) withoutErased() Entry {
	shown := *e
	if e.Reason == Erased {
		shown.Address, shown.Source = mail.Address{}, ""
	}
	return shown
}

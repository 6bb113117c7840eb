// Package privacy does the duties that a person may ask for: access, export,
// correction, erasure, and the retention that nobody needs to ask for. It does
// so over every place that keeps personal data, each of which is a Holder.
package privacy

import (
	"context"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
)

// Holder keeps data about persons. Every store of the daemon that does is one,
// and is registered where the daemon is composed.
//
// A subject is one person as one tenant knows them: what another tenant holds
// is neither shown nor touched. Methods that fail report beside their error
// what they had done before, and can be called again.
type Holder interface {
	// HolderName names the holder in reports and errors; it never changes.
	HolderName() string
	// Find counts what is kept about a subject.
	Find(ctx context.Context, s person.Subject) (int, error)
	// Export yields all of it, in the order of the holder's choice, until
	// yield fails, and returns that error.
	Export(ctx context.Context, s person.Subject, yield func(person.Record) error) error
	// Rectify makes it about another address, and returns how much.
	Rectify(ctx context.Context, s person.Subject, to mail.Address) (int, error)
	// Erase removes or pseudonymises it, and returns how much. What it must
	// keep about the person is stated in its documentation. Once it returns
	// nil nothing else can be read from the holder's files, free space inside
	// them included.
	Erase(ctx context.Context, s person.Subject) (int, error)
	// Expire removes what was written before a time and need not be kept
	// longer, and returns how much.
	Expire(ctx context.Context, before time.Time) (int, error)
}

package stats

import (
	"context"
	"errors"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
)

// errDone ends a scan before its end.
var errDone = errors.New("done")

// HolderName names the statistics among the stores that the privacy duties walk.
// They are one of them so that nobody has to take it on trust: there is nothing
// in them to be found by an address. A nil Store, that of a daemon which keeps no
// statistics, holds nothing either.
func (s *Store) HolderName() string { return "statistics" }

// Find returns 0: no address is in the statistics, and no hash of one. A mark
// names a message and a place in it; whose that was only the event log knows,
// and what it says of it expires and is erased there.
func (s *Store) Find(context.Context, person.Subject) (int, error) { return 0, nil }

// Export yields nothing, see Find.
func (s *Store) Export(context.Context, person.Subject, func(person.Record) error) error { return nil }

// Rectify changes nothing, see Find.
func (s *Store) Rectify(context.Context, person.Subject, mail.Address) (int, error) { return 0, nil }

// Erase removes nothing, see Find: what a person did stays counted, as it does
// for all others, and the counts do not tell that it was they.
func (s *Store) Erase(context.Context, person.Subject) (int, error) { return 0, nil }

// Expire removes days and marks by the statistics' own terms: those of the event
// log, which before stands for, do not hold here.
func (s *Store) Expire(ctx context.Context, _ time.Time) (int, error) {
	if s == nil {
		return 0, nil
	}
	return s.expire(ctx, time.Now())
}

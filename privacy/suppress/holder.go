package suppress

import (
	"context"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
)

// HolderName names the store among the holders of personal data.
func (s *Store) HolderName() string { return "suppressions" }

// Find counts the entries about a subject. The hash that an erasure leaves
// behind is one of them.
func (s *Store) Find(_ context.Context, subject person.Subject) (int, error) {
	rows, err := s.of(subject)
	return len(rows), err
}

// Export yields each entry about a subject.
func (s *Store) Export(ctx context.Context, subject person.Subject, yield func(person.Record) error) error {
	rows, err := s.of(subject)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield(person.Record{Kind: "suppression", Time: r.entry.Time, Data: r.entry}); err != nil {
			return err
		}
	}
	return nil
}

// Rectify makes the entries about a subject hold for another address, and no
// longer for the old one.
func (s *Store) Rectify(ctx context.Context, subject person.Subject, to mail.Address) (int, error) {
	rows, err := s.of(subject)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return s.rewrite(ctx, s.secret.prefix(subject.Tenant, subject.Address), func(entries []Entry) []Entry {
		for i := range entries {
			entries[i].Address = to
		}
		return entries
	})
}

// Erase takes all that is known of a subject out of the file, free pages
// included, and keeps one thing: the keyed hash of the address with the reason
// Erased and the time, for all streams. Without it the next list that the
// tenant brings in would mail somebody who asked to be forgotten. It is kept
// even where there was no entry, and Remove lifts it.
func (s *Store) Erase(ctx context.Context, subject person.Subject) (int, error) {
	erased := Entry{Tenant: subject.Tenant, Address: subject.Address, Reason: Erased, Time: time.Now().UTC()}
	if err := erased.check(); err != nil {
		return 0, err
	}
	if clean, err := s.nothingToErase(subject); err != nil || clean {
		if err == nil {
			_, err = s.Add(ctx, erased)
		}
		return 0, err
	}
	count := 0
	_, err := s.rewrite(ctx, s.secret.prefix(subject.Tenant, subject.Address), func(entries []Entry) []Entry {
		for _, e := range entries {
			if e.Reason == Erased {
				erased.Time = e.Time
			} else {
				count++
			}
		}
		return []Entry{erased}
	})
	return count, err
}

// nothingToErase reports that the file holds nothing of a subject but a hash,
// not even in free pages.
func (s *Store) nothingToErase(subject person.Subject) (bool, error) {
	clean := false
	err := s.view(func(tx *bolt.Tx) error {
		clean = tx.Bucket([]byte(metaBucket)).Get([]byte(metaResidue)) == nil
		return nil
	})
	if err != nil {
		return false, err
	}
	rows, err := s.of(subject)
	for _, r := range rows {
		clean = clean && r.entry.Reason == Erased
	}
	return clean, err
}

// Expire removes nothing: no reason that is kept today ends with time. To
// forget an unsubscription would be to mail the reader again.
func (s *Store) Expire(context.Context, time.Time) (int, error) {
	return 0, s.view(func(*bolt.Tx) error { return nil })
}

func (s *Store) of(subject person.Subject) (rows []row, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		rows, err = entriesOf(tx.Bucket([]byte(entriesBucket)), s.secret.prefix(subject.Tenant, subject.Address))
		return err
	})
	return rows, err
}

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

// Find counts the entries about a subject, and the count of their soft bounces
// if there is one. The hash that an erasure leaves behind is an entry.
func (s *Store) Find(_ context.Context, subject person.Subject) (int, error) {
	rows, soft, err := s.of(subject)
	return len(rows) + len(soft), err
}

// softRecord is how a subject sees the count of their soft bounces.
type softRecord struct {
	Tenant  string       `json:"tenant"`
	Address mail.Address `json:"address"`
	Count   int          `json:"count"`
	First   time.Time    `json:"first"`
	Last    time.Time    `json:"last"`
}

// Export yields each entry about a subject, and the count of soft bounces.
func (s *Store) Export(ctx context.Context, subject person.Subject, yield func(person.Record) error) error {
	rows, soft, err := s.of(subject)
	if err != nil {
		return err
	}
	var records []person.Record
	for _, r := range rows {
		records = append(records, person.Record{Kind: "suppression", Time: r.entry.Time, Data: r.entry})
	}
	for _, c := range soft {
		records = append(records, person.Record{Kind: "soft bounces", Time: c.last, Data: softRecord{
			Tenant: subject.Tenant, Address: subject.Address, Count: int(c.count), First: c.first, Last: c.last,
		}})
	}
	for _, r := range records {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}

// Rectify makes the entries about a subject hold for another address, and no
// longer for the old one. What was counted of soft bounces is forgotten: they
// were the old address's.
func (s *Store) Rectify(ctx context.Context, subject person.Subject, to mail.Address) (int, error) {
	rows, soft, err := s.of(subject)
	if err != nil || len(rows)+len(soft) == 0 {
		return 0, err
	}
	under := s.secret.prefix(subject.Tenant, to)
	return s.rewrite(ctx, s.prefixes(subject.Tenant, subject.Address), func(rows []row) []placed {
		var all []placed
		for _, r := range rows {
			if !r.entry.Address.IsZero() { // else it stays unnamed
				r.entry.Address = to
			}
			all = append(all, r.entry.at(under))
		}
		return all
	})
}

// at places an entry under a prefix that is known.
func (e *Entry) at(prefix []byte) placed {
	kept := *e
	kept.Hash = Hash{}
	return placed{tenant: e.Tenant, key: e.under(prefix), value: kept.encode(), expires: e.Expires}
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
	_, err := s.rewrite(ctx, s.prefixes(subject.Tenant, subject.Address), func(rows []row) []placed {
		for _, r := range rows {
			if r.entry.Reason == Erased {
				erased.Time = r.entry.Time
			} else {
				count++
			}
		}
		kept := erased.withoutErased()
		return []placed{kept.at(s.secret.prefix(subject.Tenant, subject.Address))}
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
	rows, soft, err := s.of(subject)
	clean = clean && len(soft) == 0
	for _, r := range rows {
		clean = clean && r.entry.Reason == Erased
	}
	return clean, err
}

// of returns what there is about a subject.
func (s *Store) of(subject person.Subject) (rows []row, soft []softCount, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		for _, prefix := range s.prefixes(subject.Tenant, subject.Address) {
			found, err := s.secret.entriesOf(tx.Bucket([]byte(entriesBucket)), prefix)
			if err != nil {
				return err
			}
			rows = append(rows, found...)
			if value := tx.Bucket([]byte(softBucket)).Get(prefix); value != nil {
				c, err := decodeSoft(value)
				if err != nil {
					return err
				}
				soft = append(soft, c)
			}
		}
		return nil
	})
	return rows, soft, err
}

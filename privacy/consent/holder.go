package consent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/internal/datafolder"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
)

// HolderName names the store among the holders of personal data.
func (s *Store) HolderName() string { return "consent" }

// Find counts the records about a subject, and the day of their last opening if
// there is one. What an erasure leaves behind is a record.
func (s *Store) Find(_ context.Context, subject person.Subject) (int, error) {
	records, err := s.Lookup(subject.Tenant, subject.Address)
	if err != nil {
		return 0, err
	}
	_, opened, err := s.LastOpen(subject.Tenant, subject.Address)
	if opened {
		return len(records) + 1, err
	}
	return len(records), err
}

// shownRecord is how a subject sees a record, shownOpening their last opening.
type shownRecord struct {
	Tenant  string    `json:"tenant"`
	Address string    `json:"address,omitempty"`
	Measure string    `json:"measure"`
	By      Origin    `json:"by"`
	Time    time.Time `json:"time"`
	Source  string    `json:"source,omitempty"`
}

type shownOpening struct {
	Tenant  string `json:"tenant"`
	Address string `json:"address"`
	Day     string `json:"day"`
}

// Export yields each record about a subject, and the day of their last opening.
func (s *Store) Export(ctx context.Context, subject person.Subject, yield func(person.Record) error) error {
	records, err := s.Lookup(subject.Tenant, subject.Address)
	if err != nil {
		return err
	}
	var all []person.Record
	for _, r := range records {
		all = append(all, person.Record{Kind: "consent", Time: r.Time, Data: shownRecord{
			r.Tenant, r.Address.String(), r.Measure.String(), r.By, r.Time, r.Source,
		}})
	}
	on, opened, err := s.LastOpen(subject.Tenant, subject.Address)
	if err != nil {
		return err
	}
	if opened {
		all = append(all, person.Record{Kind: "last opening", Time: on, Data: shownOpening{
			subject.Tenant, subject.Address.String(), on.Format(time.DateOnly),
		}})
	}
	for _, r := range all {
		if err := errors.Join(ctx.Err(), yield(r)); err != nil {
			return err
		}
	}
	return nil
}

// Rectify makes what there is about a subject hold for another address. What
// that one's owner said themselves stays, beside it.
func (s *Store) Rectify(ctx context.Context, subject person.Subject, to mail.Address) (int, error) {
	from, next := s.person(subject.Tenant, subject.Address), s.person(subject.Tenant, to)
	return s.move(ctx, subject.Tenant, from, func(tx *bolt.Tx, records []Record, opened day) error {
		for _, r := range records {
			if !r.Address.IsZero() { // else it stays unnamed
				r.Address = to
			}
			key := recordKey(r.Tenant, next, r.By)
			if value := tx.Bucket([]byte(recordsBucket)).Get(key); value != nil {
				known, err := decode(key, value)
				if err != nil {
					return err
				}
				r.Measure = r.Measure.Within(known.Measure)
			}
			if err := tx.Bucket([]byte(recordsBucket)).Put(key, r.encode()); err != nil {
				return err
			}
		}
		openings := tx.Bucket([]byte(openingsBucket))
		if opened <= readDay(openings.Get(next[:])) {
			return nil
		}
		return openings.Put(next[:], binary.BigEndian.AppendUint32(nil, uint32(opened)))
	})
}

// Erase takes all that is known of a subject out of the file, free pages
// included, and keeps one thing: under the keyed hash of the address that
// nothing may be measured, and since when. Without it the links in mail that
// they have would tell of them again.
func (s *Store) Erase(ctx context.Context, subject person.Subject) (int, error) {
	p := s.person(subject.Tenant, subject.Address)
	erased := Record{Tenant: subject.Tenant, By: Erased, Time: time.Now().UTC()}
	return s.move(ctx, subject.Tenant, p, func(tx *bolt.Tx, records []Record, _ day) error {
		for _, r := range records {
			if r.By == Erased {
				erased.Time = r.Time
			}
		}
		return tx.Bucket([]byte(recordsBucket)).Put(recordKey(subject.Tenant, p, Erased), erased.encode())
	})
}

// move takes out what there is about a person, has it put elsewhere, and writes
// the file anew. It returns how much there was, that of an erasure not counted.
func (s *Store) move(ctx context.Context, tenant string, p Person, put func(tx *bolt.Tx, records []Record, opened day) error) (int, error) {
	if err := s.flush(); err != nil {
		return 0, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.narrow(p, account.MeasureNone)
	if err := s.begin(ctx); err != nil {
		return 0, errors.Join(err, s.reload())
	}
	s.end()
	count := 0
	err := s.update(func(tx *bolt.Tx) (err error) {
		count, err = takeOut(tx, tenant, p, put)
		return err
	})
	if err == nil {
		err = s.compact()
	}
	if err = errors.Join(err, s.reload()); err != nil {
		return 0, fmt.Errorf("rewrite consent: %w", err)
	}
	return count, nil
}

func takeOut(tx *bolt.Tx, tenant string, p Person, put func(tx *bolt.Tx, records []Record, opened day) error) (count int, err error) {
	var records []Record
	var keys [][]byte
	err = scan(tx, append(prefix(tenant), p[:]...), func(k, v []byte) error {
		r, err := decode(k, v)
		records, keys = append(records, r), append(keys, append([]byte(nil), k...))
		if r.By != Erased {
			count++
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	openings := tx.Bucket([]byte(openingsBucket))
	opened := readDay(openings.Get(p[:]))
	if opened > 0 {
		count++
	}
	for _, k := range keys {
		if err := tx.Bucket([]byte(recordsBucket)).Delete(k); err != nil {
			return 0, err
		}
	}
	if err := openings.Delete(p[:]); err != nil {
		return 0, err
	}
	return count, put(tx, records, opened)
}

// compact replaces the file by a copy: what bbolt deletes stays readable in the
// file's free pages. The caller holds changing.
func (s *Store) compact() error {
	to, err := s.newFile()
	if err != nil {
		return err
	}
	err = boltguard.Run(func() error { return bolt.Compact(to, s.db.DB, 1<<20) })
	if err = errors.Join(asDamage(err), to.Close()); err != nil {
		return errors.Join(err, os.Remove(s.newPath()))
	}
	s.using.Lock()
	defer s.using.Unlock()
	if err := datafolder.Rename(s.newPath(), s.options.Path); err != nil {
		return err
	}
	old := s.db
	if s.db, err = s.openFile(); err != nil {
		s.db = nil
		s.fail(err)
		s.logger.Error("consent cannot be read: nobody is measured", "path", s.options.Path, "error", err)
	}
	return errors.Join(err, old.Close())
}

// reload reads again what is kept in memory. The caller holds changing.
func (s *Store) reload() error {
	if s.db == nil {
		return s.broken()
	}
	limits, err := s.load()
	if err != nil {
		s.fail(err)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = limits
	return nil
}

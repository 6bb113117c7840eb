package consent

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
)

// Allowed returns what may be kept of a reader at most: everything, of one who
// said nothing. On an error it is not known, and nothing may be.
func (s *Store) Allowed(tenant string, a mail.Address) (account.Measure, error) {
	return s.AllowedOf(s.person(tenant, a))
}

// AllowedOf is Allowed for whom Person returned.
func (s *Store) AllowedOf(p [personSize]byte) (account.Measure, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.fault != nil {
		return account.MeasureNone, s.fault
	}
	if m, limited := s.limits[p]; limited {
		return m, nil
	}
	return account.MeasureIndividual, nil
}

// Unlimited reports that nobody has forbidden anything.
func (s *Store) Unlimited() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.fault == nil && len(s.limits) == 0
}

// Recording runs do, which writes down what Allowed allows at that time. A
// change waits for it to end, so that once the change is made nothing is
// recorded by what held before.
func (s *Store) Recording(ctx context.Context, do func() error) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	return do()
}

func (s *Store) begin(ctx context.Context) error {
	select {
	case s.recording <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) end() { <-s.recording }

// Set keeps a record in the place of the one that its origin said before. It is
// durable on return, and nothing is recorded any more that it forbids.
func (s *Store) Set(ctx context.Context, r Record) error {
	if err := r.check(); err != nil {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	p := s.person(r.Tenant, r.Address)
	err := s.change(ctx, p, r.Tenant, r.Measure, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(recordsBucket)).Put(recordKey(r.Tenant, p, r.By), r.encode())
	})
	if err != nil {
		return fmt.Errorf("set consent: %w", err)
	}
	return nil
}

// Remove forgets what one origin said, durably on return, and reports whether
// there was anything.
func (s *Store) Remove(ctx context.Context, tenant string, a mail.Address, by Origin) (removed bool, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	p := s.person(tenant, a)
	err = s.change(ctx, p, tenant, account.MeasureIndividual, func(tx *bolt.Tx) error {
		key, records := recordKey(tenant, p, by), tx.Bucket([]byte(recordsBucket))
		removed = records.Get(key) != nil
		return records.Delete(key)
	})
	if err != nil {
		return false, fmt.Errorf("remove consent: %w", err)
	}
	return removed, nil
}

// change writes, and has memory follow. What a person forbids holds before it is
// written, so that nothing slips through between; if it cannot be written it
// holds no longer. The caller holds changing.
func (s *Store) change(ctx context.Context, p Person, tenant string, next account.Measure, write func(*bolt.Tx) error) error {
	before := s.narrow(p, next)
	err := s.begin(ctx) // what is being recorded was allowed before
	if err == nil {
		s.end()
		var after account.Measure
		err = s.update(func(tx *bolt.Tx) error {
			if err := write(tx); err != nil {
				return err
			}
			after, err = together(tx, tenant, p)
			if err == nil && !after.Allows(account.MeasureHygiene) {
				err = tx.Bucket([]byte(openingsBucket)).Delete(p[:])
			}
			return err
		})
		if err == nil {
			s.put(p, after)
			return nil
		}
	}
	s.put(p, before)
	return err
}

// together is what all origins allow.
func together(tx *bolt.Tx, tenant string, p Person) (account.Measure, error) {
	all := account.MeasureIndividual
	err := scan(tx, append(prefix(tenant), p[:]...), func(k, v []byte) error {
		r, err := decode(k, v)
		all = all.Within(r.Measure)
		return err
	})
	return all, err
}

// narrow has memory forbid what next does not allow, and returns what was
// allowed before.
func (s *Store) narrow(p Person, next account.Measure) account.Measure {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, limited := s.limits[p]
	if !limited {
		before = account.MeasureIndividual
	}
	limit(s.limits, p, next)
	if !next.Allows(account.MeasureHygiene) {
		delete(s.waiting, p)
	}
	return before
}

func (s *Store) put(p Person, m account.Measure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.limits, p)
	limit(s.limits, p, m)
}

// scan calls yield for the records under a prefix.
func scan(tx *bolt.Tx, under []byte, yield func(k, v []byte) error) error {
	c := tx.Bucket([]byte(recordsBucket)).Cursor()
	for k, v := c.Seek(under); bytes.HasPrefix(k, under); k, v = c.Next() {
		if err := yield(k, v); err != nil {
			return err
		}
	}
	return nil
}

// Lookup returns what each origin said of a reader.
func (s *Store) Lookup(tenant string, a mail.Address) (records []Record, err error) {
	p := s.person(tenant, a)
	err = s.view(func(tx *bolt.Tx) error {
		return scan(tx, append(prefix(tenant), p[:]...), func(k, v []byte) error {
			r, err := decode(k, v)
			records = append(records, r)
			return err
		})
	})
	return records, err
}

// ErrCursor: a place in a list that is none.
var ErrCursor = errors.New("invalid place in the list of consents")

// List returns up to limit records of a tenant, all tenants' where it is empty,
// from a place on, and the place behind them; empty at the end.
func (s *Store) List(tenant, after string, limit int) (records []Record, next string, err error) {
	from, err := hex.DecodeString(after)
	if err != nil {
		return nil, "", ErrCursor
	}
	var under []byte
	if tenant != "" {
		under = prefix(tenant)
	}
	err = s.view(func(tx *bolt.Tx) error {
		c := tx.Bucket([]byte(recordsBucket)).Cursor()
		k, v := c.Seek(under)
		if after != "" {
			k, v = c.Seek(from)
		}
		for ; k != nil && bytes.HasPrefix(k, under); k, v = c.Next() {
			if len(records) == limit {
				next = hex.EncodeToString(k)
				return nil
			}
			r, err := decode(k, v)
			if err != nil {
				return err
			}
			records = append(records, r)
		}
		return nil
	})
	return records, next, err
}

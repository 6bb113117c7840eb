package suppress

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Selector chooses entries; a zero field matches all.
type Selector struct {
	Tenant  string
	Stream  string
	Reason  Reason
	Address mail.Address
	// Hash in the place of Address; it needs a tenant.
	Hash Hash
	// Whole chooses only entries without a stream.
	Whole bool
}

// matchScope compares what is not in the hash.
func (x Selector) matchScope(e *Entry) bool {
	return (x.Tenant == "" || x.Tenant == e.Tenant) && (x.Stream == "" || x.Stream == e.Stream) &&
		(!x.Whole || e.Stream == "") &&
		(x.Reason == "" || x.Reason == e.Reason)
}

// match compares the address as well. Where only a hash is left, the tenant is
// needed to recognise it.
func (s *Store) match(x Selector, key []byte, e *Entry) bool {
	if !x.matchScope(e) {
		return false
	}
	if x.Address.IsZero() || x.Tenant != "" { // which the range has seen to
		return true
	}
	return slices.ContainsFunc(s.prefixes(e.Tenant, x.Address), func(prefix []byte) bool {
		return bytes.HasPrefix(key, prefix)
	})
}

// selected returns the prefixes of all keys that can match, in order.
func (s *Store) selected(x Selector) (prefixes [][]byte, err error) {
	switch {
	case !x.Hash.IsZero():
		if x.Tenant == "" {
			return nil, fmt.Errorf("%w: a hash is looked for in one tenant's list", ErrEntry)
		}
		prefix, err := s.secret.prefixHash(x.Tenant, x.Hash)
		return [][]byte{prefix}, err
	case x.Tenant == "":
		return [][]byte{nil}, nil
	case x.Address.IsZero():
		return [][]byte{append([]byte(x.Tenant), 0)}, nil
	}
	prefixes = s.prefixes(x.Tenant, x.Address)
	slices.SortFunc(prefixes, bytes.Compare)
	return prefixes, nil
}

// ErrCursor: text that List did not return.
var ErrCursor = errors.New("not a place in the list of suppressions")

// scanned bounds the entries looked at in one transaction.
const scanned = 1000

// List returns entries that match and have not expired, by tenant, in pages:
// after is empty or what the last page returned as next; next is empty at the
// end. It holds no address.
func (s *Store) List(ctx context.Context, x Selector, after string, limit int) (entries []Entry, next string, err error) {
	from, err := base64.RawURLEncoding.DecodeString(after)
	if err != nil {
		return nil, "", ErrCursor
	}
	found, more, err := s.list(ctx, x, from, limit)
	if err != nil {
		return nil, "", err
	}
	return found, base64.RawURLEncoding.EncodeToString(more), nil
}

// Each calls yield for each entry that matches and has not expired, by tenant,
// until it fails, and returns that error. What changes meanwhile may be among
// them or not.
func (s *Store) Each(ctx context.Context, x Selector, yield func(*Entry) error) error {
	for from := []byte{}; from != nil; {
		entries, next, err := s.list(ctx, x, from, scanned)
		if err != nil {
			return err
		}
		for i := range entries {
			if err := yield(&entries[i]); err != nil {
				return err
			}
		}
		from = next
	}
	return nil
}

// list returns up to limit entries from a key on, and the key of the next.
func (s *Store) list(ctx context.Context, x Selector, from []byte, limit int) (entries []Entry, next []byte, err error) {
	prefixes, err := s.selected(x)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	for _, within := range prefixes {
		for from := later(from, within); from != nil; {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			rows, err := s.rows(from, within, scanned)
			if err != nil {
				return nil, nil, err
			}
			for _, row := range rows {
				if row.entry.expired(now) || !s.match(x, row.key, &row.entry) {
					continue
				}
				if len(entries) == limit {
					return entries, row.key, nil
				}
				entries = append(entries, row.entry)
			}
			if from = nil; len(rows) == scanned {
				from = append(rows[len(rows)-1].key, 0)
			}
		}
	}
	return entries, nil, nil
}

// later returns the one of two keys that comes behind; it is not nil.
func later(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return b
	}
	return append([]byte{}, a...)
}

// row is an entry with its key.
type row struct {
	key   []byte
	entry Entry
}

// rows returns up to limit entries whose keys begin with within, from a key
// on.
func (s *Store) rows(from, within []byte, limit int) (rows []row, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		cursor := tx.Bucket([]byte(entriesBucket)).Cursor()
		for k, v := cursor.Seek(from); k != nil && bytes.HasPrefix(k, within) && len(rows) < limit; k, v = cursor.Next() {
			e, err := s.secret.decodeEntry(k, v)
			if err != nil {
				return err
			}
			rows = append(rows, row{slices.Clone(k), e})
		}
		return nil
	})
	return rows, err
}

package suppress

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Selector chooses entries; a zero field matches all.
type Selector struct {
	Tenant  string
	Stream  string
	Reason  Reason
	Address mail.Address
}

// matchScope compares what is not in the hash.
func (x Selector) matchScope(e *Entry) bool {
	return (x.Tenant == "" || x.Tenant == e.Tenant) && (x.Stream == "" || x.Stream == e.Stream) &&
		(x.Reason == "" || x.Reason == e.Reason)
}

// match compares the address as well. Where only a hash is left, the tenant is
// needed to recognise it.
func (s *Store) match(x Selector, key []byte, e *Entry) bool {
	return x.matchScope(e) &&
		(x.Address.IsZero() || bytes.HasPrefix(key, s.secret.prefix(e.Tenant, x.Address)))
}

// ErrCursor: text that List did not return.
var ErrCursor = errors.New("not a place in the list of suppressions")

// scanned bounds the entries looked at in one transaction.
const scanned = 1000

// List returns entries that match, by tenant, in pages: after is empty or what
// the last page returned as next; next is empty at the end. It holds no
// address.
func (s *Store) List(ctx context.Context, x Selector, after string, limit int) (entries []Entry, next string, err error) {
	from, err := base64.RawURLEncoding.DecodeString(after)
	if err != nil {
		return nil, "", ErrCursor
	}
	begin, within := s.bounds(x)
	if bytes.Compare(from, begin) < 0 {
		from = begin
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		rows, err := s.rows(from, within, scanned)
		if err != nil {
			return nil, "", err
		}
		for _, row := range rows {
			if !s.match(x, row.key, &row.entry) {
				continue
			}
			if len(entries) == limit {
				return entries, base64.RawURLEncoding.EncodeToString(row.key), nil
			}
			entries = append(entries, row.entry)
		}
		if len(rows) < scanned {
			return entries, "", nil
		}
		from = append(rows[len(rows)-1].key, 0)
	}
}

// bounds returns where matching keys can begin, and the prefix that all have.
func (s *Store) bounds(x Selector) (begin, within []byte) {
	switch {
	case x.Tenant == "":
		return nil, nil
	case x.Address.IsZero():
		within = append([]byte(x.Tenant), 0)
	default:
		within = s.secret.prefix(x.Tenant, x.Address)
	}
	return within, within
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
			e, err := decodeEntry(k, v)
			if err != nil {
				return err
			}
			rows = append(rows, row{slices.Clone(k), e})
		}
		return nil
	})
	return rows, err
}

// entriesOf returns the entries under a prefix inside a transaction.
func entriesOf(bucket *bolt.Bucket, prefix []byte) ([]row, error) {
	var rows []row
	cursor := bucket.Cursor()
	for k, v := cursor.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = cursor.Next() {
		e, err := decodeEntry(k, v)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{slices.Clone(k), e})
	}
	return rows, nil
}

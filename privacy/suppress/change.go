package suppress

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Add keeps an entry, durably on return, and reports whether that changed
// anything: one for the same address, stream and reason stays as it was, unless
// it ends earlier.
func (s *Store) Add(ctx context.Context, e Entry) (changed bool, err error) {
	p, err := s.place(&e)
	if err != nil {
		return false, err
	}
	now := time.Now()
	err = s.committer.do(ctx, func(w *write) (err error) {
		changed, err = w.add(p, now)
		return err
	})
	return changed, err
}

// Remove forgets the entries of a tenant and an address or its hash, durably
// on return, and returns them. The selector's stream and reason narrow it down
// to those of that stream and reason.
func (s *Store) Remove(ctx context.Context, x Selector) (removed []Entry, err error) {
	if x.Tenant == "" || x.Address.IsZero() && x.Hash.IsZero() {
		return nil, fmt.Errorf("%w: removing needs a tenant and an address", ErrEntry)
	}
	prefixes, err := s.selected(x)
	if err != nil {
		return nil, err
	}
	err = s.committer.do(ctx, func(w *write) (err error) {
		removed, err = w.remove(s.secret, x, prefixes)
		return err
	})
	return removed, err
}

// placed is an entry as it is written.
type placed struct {
	tenant     string
	key, value []byte
	expires    time.Time
	md5        bool
}

func (s *Store) place(e *Entry) (placed, error) {
	if err := e.check(); err != nil {
		return placed{}, err
	}
	key, err := s.secret.keyOf(e)
	if err != nil {
		return placed{}, err
	}
	p := placed{tenant: e.Tenant, key: key, expires: e.Expires, md5: e.Hash.ofMD5()}
	kept := e.withoutErased()
	p.value = kept.encode()
	return p, nil
}

// write changes the database in a transaction.
type write struct {
	tx *bolt.Tx
	// remember is told the key of each entry that is written.
	remember func(key []byte) error
	// touched, where it is not nil, receives the bucket and key of each row
	// that changes.
	touched map[string]struct{}
	// listed receives the marks of lists that were not there.
	listed []string
}

func (w *write) put(bucket string, key, value []byte) error {
	w.touch(bucket, key)
	return w.tx.Bucket([]byte(bucket)).Put(key, value)
}

func (w *write) delete(bucket string, key []byte) error {
	w.touch(bucket, key)
	return w.tx.Bucket([]byte(bucket)).Delete(key)
}

func (w *write) touch(bucket string, key []byte) {
	if w.touched != nil {
		w.touched[bucket+"\x00"+string(key)] = struct{}{}
	}
}

func (w *write) get(bucket string, key []byte) []byte { return w.tx.Bucket([]byte(bucket)).Get(key) }

// residue notes that an address was removed.
func (w *write) residue() error {
	return w.tx.Bucket([]byte(metaBucket)).Put([]byte(metaResidue), []byte{1})
}

// add writes an entry unless the one that is there lasts as long.
func (w *write) add(p placed, now time.Time) (changed bool, err error) {
	if value := w.get(entriesBucket, p.key); value != nil {
		expires, err := expiresOf(value)
		if err != nil {
			return false, err
		}
		if !over(expires, now) && (expires.IsZero() || !p.expires.IsZero() && !p.expires.After(expires)) {
			return false, nil
		}
		if err := w.residue(); err != nil { // what it replaces may have an address
			return false, err
		}
	}
	return true, w.place(p)
}

// place writes an entry over whatever is there.
func (w *write) place(p placed) error {
	for _, mark := range p.marks() {
		if err := w.mark(mark); err != nil {
			return err
		}
	}
	err := errors.Join(w.remember(p.key), w.put(entriesBucket, p.key, p.value))
	if err != nil {
		return err
	}
	return w.schedule(p.expires, entriesBucket, p.key)
}

func (w *write) mark(mark string) error {
	if w.get(marksBucket, []byte(mark)) != nil {
		return nil
	}
	w.listed = append(w.listed, mark)
	return w.put(marksBucket, []byte(mark), []byte{1})
}

// schedule notes when a row ends; zero for never.
func (w *write) schedule(end time.Time, bucket string, key []byte) error {
	if end.IsZero() {
		return nil
	}
	return w.put(expiryBucket, expiryKey(end, bucket, key), nil)
}

func expiryKey(end time.Time, bucket string, key []byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(max(end.Unix(), 0)))
	return append(append(append(b, bucket...), 0), key...)
}

// remove deletes the entries under prefixes that are selected, and what was
// counted of soft bounces there, so that the next one begins anew.
func (w *write) remove(s secret, x Selector, prefixes [][]byte) (removed []Entry, err error) {
	for _, prefix := range prefixes {
		rows, err := s.entriesOf(w.tx.Bucket([]byte(entriesBucket)), prefix)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			if !x.matchScope(&r.entry) {
				continue
			}
			if err := w.delete(entriesBucket, r.key); err != nil {
				return nil, err
			}
			removed = append(removed, r.entry)
		}
	}
	if len(removed) == 0 {
		return nil, nil
	}
	for _, prefix := range prefixes {
		if err := w.delete(softBucket, prefix); err != nil {
			return nil, err
		}
	}
	return removed, w.residue()
}

// entriesOf returns the entries under a prefix inside a transaction.
func (s secret) entriesOf(bucket *bolt.Bucket, prefix []byte) ([]row, error) {
	var rows []row
	cursor := bucket.Cursor()
	for k, v := cursor.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = cursor.Next() {
		e, err := s.decodeEntry(k, v)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{slices.Clone(k), e})
	}
	return rows, nil
}

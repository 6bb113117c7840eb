package suppress

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// expiryBatch is how many rows end in one transaction.
const expiryBatch = 5000

// Expire forgets the entries that have expired and counts of soft bounces that
// nothing was added to for long, and returns how many. When things were
// written does not matter: to forget an unsubscription would be to mail the
// reader again.
func (s *Store) Expire(ctx context.Context, _ time.Time) (int, error) {
	now := time.Now()
	for total := 0; ; {
		due, err := s.due(now)
		if err != nil || len(due) == 0 {
			return total, err
		}
		ended := 0
		err = s.committer.do(ctx, func(w *write) (err error) {
			ended, err = s.endAll(w, due, now)
			return err
		})
		if err != nil {
			return total, err
		}
		total += ended
	}
}

// due returns keys of the expiry bucket whose time has come.
func (s *Store) due(now time.Time) (keys [][]byte, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		cursor := tx.Bucket([]byte(expiryBucket)).Cursor()
		for k, _ := cursor.First(); k != nil && len(keys) < expiryBatch; k, _ = cursor.Next() {
			if len(k) < 8 {
				return fmt.Errorf("%w: expiry key of %d octets", ErrDamaged, len(k))
			}
			if int64(binary.BigEndian.Uint64(k)) > now.Unix() {
				return nil
			}
			keys = append(keys, slices.Clone(k))
		}
		return nil
	})
	return keys, err
}

func (s *Store) endAll(w *write, keys [][]byte, now time.Time) (ended int, err error) {
	for _, key := range keys {
		if err := w.delete(expiryBucket, key); err != nil {
			return 0, err
		}
		bucket, row, _ := bytes.Cut(key[8:], []byte{0})
		gone, err := s.end(w, string(bucket), row, now)
		if err != nil {
			return 0, err
		}
		if gone {
			ended++
		}
	}
	return ended, nil
}

// end deletes a row if its time has come: it may have been given more since,
// or be gone.
func (s *Store) end(w *write, bucket string, key []byte, now time.Time) (gone bool, err error) {
	value := w.get(bucket, key)
	if value == nil {
		return false, nil
	}
	if bucket == softBucket {
		c, err := decodeSoft(value)
		if err != nil {
			return false, err
		}
		if end := s.rules.forgotten(c); end.Unix() > now.Unix() {
			return false, w.schedule(end, softBucket, key)
		}
		return true, w.delete(softBucket, key)
	}
	expires, err := expiresOf(value)
	if err != nil || !over(expires, now) {
		return false, err
	}
	if err := w.delete(bucket, key); err != nil {
		return false, err
	}
	return true, w.residue()
}

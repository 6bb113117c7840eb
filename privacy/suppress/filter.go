package suppress

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
)

// filter says of most addresses at once that there is nothing about them: it
// is a Bloom filter over the keyed hashes of all entries, of one cache line a
// look-up. What it does not rule out is looked for in the file. It forgets
// nothing, so that what was removed costs a look into the file until the next
// start.
type filter struct {
	blocks []block
	// rows counts what was added, capacity is what it was made for.
	rows, capacity atomic.Int64
	// ready: all entries are in it.
	ready atomic.Bool
}

// block is one cache line.
type block [8]uint64

const (
	// filterRows are the least that a filter is made for.
	filterRows = 1 << 16
	// bytesPerRow is what an entry takes in the file, or more: by it the
	// number of entries is guessed.
	bytesPerRow = 100
	// rowsPerBlock leaves 12 bits for each entry, of which bitsPerRow are set:
	// 1 of 200 addresses is looked for in vain.
	rowsPerBlock = 42
	bitsPerRow   = 6
)

func newFilter(rows int64) *filter {
	rows = max(rows, filterRows)
	f := &filter{blocks: make([]block, rows/rowsPerBlock+1)}
	f.capacity.Store(rows)
	return f
}

// place returns the block of a keyed hash, and a number that says which bits.
func (f *filter) place(sum []byte) (b *block, bits uint64) {
	at := binary.LittleEndian.Uint64(sum) % uint64(len(f.blocks))
	return &f.blocks[at], binary.LittleEndian.Uint64(sum[8:])
}

func (f *filter) add(sum []byte) {
	b, bits := f.place(sum)
	for range bitsPerRow {
		atomic.OrUint64(&b[bits>>6&7], 1<<(bits&63))
		bits >>= 9
	}
	f.rows.Add(1)
}

// mayHave reports whether there may be an entry under a prefix.
func (f *filter) mayHave(prefix []byte) bool {
	if !f.ready.Load() {
		return true
	}
	b, bits := f.place(sumOf(prefix))
	for range bitsPerRow {
		if atomic.LoadUint64(&b[bits>>6&7])&(1<<(bits&63)) == 0 {
			return false
		}
		bits >>= 9
	}
	return true
}

// sumOf returns the keyed hash at the end of a prefix.
func sumOf(prefix []byte) []byte { return prefix[len(prefix)-hashLength:] }

// sumIn returns the keyed hash in a key.
func sumIn(key []byte) ([]byte, error) {
	at := bytes.IndexByte(key, 0) + 1
	if at == 0 || len(key) < at+hashLength {
		return nil, ErrDamaged
	}
	return key[at : at+hashLength], nil
}

// fillFilters makes a filter, and another one when it has become too small,
// until ctx ends. While there is none each look-up goes to the file, and where
// the file cannot be read they say so.
func (s *Store) fillFilters(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.fillFilter(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, ErrClosed) {
			s.logger.Warn("suppressions are looked up without a filter", "error", err)
		}
		select {
		case <-s.outgrown:
		case <-ctx.Done():
		}
	}
}

func (s *Store) fillFilter(ctx context.Context) error {
	next, err := s.beginFilter()
	if err != nil {
		return err
	}
	for from := []byte{}; from != nil; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if from, err = s.addToFilter(next, from); err != nil {
			return err
		}
	}
	next.ready.Store(true)
	s.filter.Store(next)
	return nil
}

// beginFilter makes a filter that receives whatever is added from now on.
func (s *Store) beginFilter() (*filter, error) {
	s.committer.writing.Lock()
	defer s.committer.writing.Unlock()
	var next *filter
	err := s.view(func(tx *bolt.Tx) error {
		next = newFilter(tx.Size() / bytesPerRow)
		return nil
	})
	s.filling = next
	return next, err
}

// addToFilter adds a batch of entries from a key on, and returns where the
// next one begins; nil at the end.
func (s *Store) addToFilter(f *filter, from []byte) (next []byte, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		cursor := tx.Bucket([]byte(entriesBucket)).Cursor()
		n := 0
		for k, _ := cursor.Seek(from); k != nil; k, _ = cursor.Next() {
			if n++; n > copyBatch {
				next = bytes.Clone(k)
				return nil
			}
			sum, err := sumIn(k)
			if err != nil {
				return err
			}
			f.add(sum)
		}
		return nil
	})
	return next, err
}

// remember adds a key to the filters, before it is committed.
func (s *Store) remember(key []byte) error {
	sum, err := sumIn(key)
	if err != nil {
		return err
	}
	s.filter.Load().add(sum)
	f := s.filling
	if f == nil {
		return nil
	}
	f.add(sum)
	if f.ready.Load() && f.rows.Load() > 2*f.capacity.Load() {
		select {
		case s.outgrown <- struct{}{}:
		default:
		}
	}
	return nil
}

package boltqueue

import (
	"bytes"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
)

// soundCursor walks the keys with a prefix, and steps over pages that cannot
// be read.
type soundCursor struct {
	cursor *bolt.Cursor
	prefix []byte
	// last is the key it stands at, value what is there.
	last, value []byte
	// gaps counts the runs of pages stepped over.
	gaps int
}

// seek returns the first key from one on; nil if none with the prefix follows.
func (c *soundCursor) seek(key []byte) []byte { return c.move(key, key) }

// next returns the key behind the last one.
func (c *soundCursor) next() []byte { return c.move(nil, c.last) }

// move seeks a key, or takes the next one for nil. from is where it stands.
func (c *soundCursor) move(key, from []byte) []byte {
	k, ok := c.try(key)
	if !ok {
		c.gaps++
		k = c.leap(from)
	}
	if !bytes.HasPrefix(k, c.prefix) {
		return nil
	}
	c.last = k
	return k
}

func (c *soundCursor) try(key []byte) (k []byte, ok bool) {
	err := boltguard.Run(func() error {
		if key == nil {
			k, c.value = c.cursor.Next()
		} else {
			k, c.value = c.cursor.Seek(key)
		}
		return nil
	})
	return k, err == nil
}

// leap returns the first key that can be read behind one whose successor
// cannot. Keys are numbers here: it doubles the distance until something can be
// read, and then halves it again.
func (c *soundCursor) leap(from []byte) []byte {
	bits := 8 * (len(from) - len(c.prefix))
	low, bit := from, 0
	var high []byte
	for ; bit < bits && high == nil; bit++ {
		further, ok := plus(from, len(c.prefix), bit)
		if !ok {
			return nil
		}
		if _, ok := c.try(further); ok {
			high = further
		} else {
			low = further
		}
	}
	if high == nil {
		return nil
	}
	for bit -= 3; bit >= 0; bit-- {
		middle, ok := plus(low, len(c.prefix), bit)
		if !ok || bytes.Compare(middle, high) >= 0 {
			continue
		}
		if _, ok := c.try(middle); ok {
			high = middle
		} else {
			low = middle
		}
	}
	k, _ := c.try(high)
	return k
}

// plus adds a power of two to the number behind the prefix of a key. It reports
// false where that is too large.
func plus(key []byte, prefix, bit int) ([]byte, bool) {
	sum := slices.Clone(key)
	i := len(sum) - 1 - bit/8
	carry := uint(1) << (bit % 8)
	for ; i >= prefix && carry > 0; i-- {
		carry += uint(sum[i])
		sum[i] = byte(carry)
		carry >>= 8
	}
	return sum, carry == 0
}

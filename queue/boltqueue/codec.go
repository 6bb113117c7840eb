package boltqueue

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// errEncoding: bytes that this package did not write.
var errEncoding = errors.New("malformed encoding")

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendTime keeps nanoseconds over the whole range of time.Time; the zero time
// stays zero.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	b = append(b, 1)
	b = binary.AppendVarint(b, t.Unix())
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

// nanoseconds returns the time as due indexes order it: never negative, and
// the end of time for what lies beyond the range.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.Unix() <= 0:
		return 0
	case t.Unix() >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64 - 1
	}
	return t.UnixNano()
}

func fromNanoseconds(n int64) time.Time { return time.Unix(0, n).UTC() }

// decoder reads what the append functions wrote. The first failure empties it;
// everything after that is zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	d.b, d.err = nil, errEncoding
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// number reads a size or a due time, which are never negative.
func (d *decoder) number() int64 {
	v := d.uvarint()
	if v >= math.MaxInt64 {
		d.fail()
		return 0
	}
	return int64(v)
}

// index reads a number that fits 32 bits.
func (d *decoder) index() uint32 {
	v := d.uvarint()
	if v > math.MaxInt32 {
		d.fail()
		return 0
	}
	return uint32(v)
}

// count reads how many things follow, each of at least one octet.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

// bytes returns a part of the input, not a copy.
func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }

func (d *decoder) string() string { return string(d.bytes()) }

func (d *decoder) time() time.Time {
	if d.byte() == 0 {
		return time.Time{}
	}
	seconds, nanos := d.varint(), d.uvarint()
	if nanos >= uint64(time.Second) {
		d.fail()
	}
	if d.err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanos)).UTC()
}

// address reads an address; the empty text is the null reverse-path.
func (d *decoder) address() mail.Address {
	s := d.string()
	if s == "" {
		return mail.Address{}
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		d.fail()
	}
	return a
}

package token

import (
	"encoding/binary"
	"math"
	"strings"
)

// decoder reads a payload from its front. After a failure everything it
// returns is zero.
type decoder struct {
	rest   []byte
	failed bool
}

func (r *Keyring) decode(purpose Purpose, token string) (*decoder, error) {
	payload, err := r.Open(purpose, token)
	if err != nil {
		return nil, err
	}
	return &decoder{rest: payload}, nil
}

// done reports that all was read, and nothing is left.
func (d *decoder) done() bool { return !d.failed && len(d.rest) == 0 }

func (d *decoder) take(n int) []byte {
	if d.failed || n > len(d.rest) {
		d.failed = true
		return nil
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *decoder) message() (id [messageSize]byte) {
	copy(id[:], d.take(messageSize))
	return id
}

// person refuses the zero one, which is written by leaving it out.
func (d *decoder) person() (p Person) {
	copy(p[:], d.take(personSize))
	if p == (Person{}) {
		d.failed = true
	}
	return p
}

// url reads the rest as a target behind the code of its scheme, in the one way
// in which it is written.
func (d *decoder) url(code byte) string {
	prefixes := schemes()
	if d.failed || int(code) >= len(prefixes) {
		d.failed = true
		return ""
	}
	rest := d.take(len(d.rest))
	var b strings.Builder
	b.Grow(len(prefixes[code]) + len(rest))
	b.WriteString(prefixes[code])
	b.Write(rest)
	url := b.String()
	if want, _ := scheme(url); want != code || url == "" || len(url) > MaxURL {
		d.failed = true
	}
	return url
}

func (d *decoder) octet() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) index() uint32 { return uint32(d.uvarint(math.MaxUint32)) }

// uvarint accepts the shortest encoding only: one payload, one token.
func (d *decoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > limit || n > 1 && d.rest[n-1] == 0 {
		d.failed = true
		return 0
	}
	d.take(n)
	return v
}

func (d *decoder) text(limit uint64) string { return string(d.take(int(d.uvarint(limit)))) }

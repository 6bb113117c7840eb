package queue

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// ID names a message: 48 bits of Unix milliseconds, then 48 random bits, so
// that ids sort by the time of acceptance.
type ID [12]byte

const (
	// idLength is the length of an ID as text.
	idLength = 20
	// idDigits are base32hex (RFC 4648 section 7) in lower case, which sorts
	// as the octets do.
	idDigits = "0123456789abcdefghijklmnopqrstuv"
)

// NewID makes an id for a message accepted at now.
func NewID(now time.Time) ID {
	var id ID
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(id[:6], ms[2:])
	rand.Read(id[6:]) // never fails: see crypto/rand.Read
	return id
}

// ParseID is the inverse of String.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != idLength {
		return id, fmt.Errorf("%w: %d characters instead of %d", ErrID, len(s), idLength)
	}
	bits, held := uint(0), 0
	octets := id[:0]
	for i := range len(s) {
		digit := strings.IndexByte(idDigits, s[i])
		if digit < 0 {
			return ID{}, fmt.Errorf("%w: it is made of 0 to 9 and a to v", ErrID)
		}
		bits, held = bits<<5|uint(digit), held+5
		if held >= 8 {
			held -= 8
			octets = append(octets, byte(bits>>held))
		}
	}
	if bits&(1<<held-1) != 0 {
		return ID{}, fmt.Errorf("%w: spare bits set", ErrID)
	}
	return id, nil
}

// String returns 20 characters of 0 to 9 and a to v, in the order of the ids.
func (id ID) String() string {
	var text [idLength]byte
	bits, held := uint(0), 0
	digits := text[:0]
	for _, octet := range id {
		bits, held = bits<<8|uint(octet), held+8
		for ; held >= 5; held -= 5 {
			digits = append(digits, idDigits[bits>>(held-5)&31])
		}
	}
	digits = append(digits, idDigits[bits<<(5-held)&31])
	return string(digits)
}

// Time is when the message was accepted, to the millisecond.
func (id ID) Time() time.Time {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:])))
}

// IsZero reports the id of no message.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText returns String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText parses as ParseID does.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

package queue

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"time"
)

// ID names a message: 48 bits of Unix milliseconds, then 48 random bits, so
// that ids sort by the time of acceptance.
type ID [12]byte

// idLength is the length of an ID as text.
const idLength = 20

func idEncoding() *base32.Encoding {
	return base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)
}

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
	raw, err := idEncoding().DecodeString(s)
	if err != nil {
		return id, fmt.Errorf("%w: it is made of 0 to 9 and a to v", ErrID)
	}
	copy(id[:], raw)
	if id.String() != s {
		return ID{}, fmt.Errorf("%w: spare bits set", ErrID)
	}
	return id, nil
}

// String returns 20 characters of 0 to 9 and a to v, in the order of the ids.
func (id ID) String() string { return idEncoding().EncodeToString(id[:]) }

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

package tracking

import (
	"encoding/binary"
	"time"
)

// MessageText returns the text form of a message id as events carry it: 20
// characters of 0 to 9 and a to v.
func MessageText(id [12]byte) string {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	var text [20]byte
	bits, held, n := uint(0), 0, 0
	for _, octet := range id {
		bits, held = bits<<8|uint(octet), held+8
		for ; held >= 5; held -= 5 {
			text[n] = digits[bits>>(held-5)&31]
			n++
		}
	}
	text[n] = digits[bits<<(5-held)&31]
	return string(text[:])
}

// accepted is when the message was: its id begins with 48 bits of Unix
// milliseconds.
func accepted(id [12]byte) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16))
}

// since is when the message came that a hit belongs to.
func (o *origin) since() time.Time {
	if o.counted != nil {
		return end(o.counted.Day)
	}
	return accepted(o.message)
}

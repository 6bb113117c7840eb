package suppress

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// valueVersion begins the value of an entry; the rest of it is in its key.
const valueVersion = 1

// flagMD5 marks an entry of which only the MD5 of the address was known.
const flagMD5 = 1

// encode returns the value of an entry: version, flags, time in milliseconds,
// expiry in seconds, address, source.
func (e *Entry) encode() []byte {
	address := e.Address.String()
	b := make([]byte, 0, 32+len(address)+len(e.Source))
	flags := byte(0)
	if e.Hash.ofMD5() {
		flags = flagMD5
	}
	b = append(b, valueVersion, flags)
	b = binary.AppendVarint(b, e.Time.UnixMilli())
	b = binary.AppendVarint(b, seconds(e.Expires))
	b = binary.AppendUvarint(b, uint64(len(address)))
	return append(append(b, address...), e.Source...)
}

// seconds keeps an end as zero where there is none.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromSeconds(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

// decodeEntry is the inverse of the key and encode.
func (s secret) decodeEntry(key, value []byte) (Entry, error) {
	tenant, rest, ok := strings.Cut(string(key), "\x00")
	if !ok || len(rest) <= hashLength {
		return Entry{}, fmt.Errorf("%w: key of %d octets", ErrDamaged, len(key))
	}
	stream, reason, _ := strings.Cut(rest[hashLength:], "\x00")
	e := Entry{Tenant: tenant, Stream: stream, Reason: Reason(reason)}
	flags, err := e.decode(value)
	if err == nil && e.Address.IsZero() {
		e.Hash = Hash{kind: keyedHash, sum: rest[:hashLength], owner: s.owner(tenant)}
		if flags&flagMD5 != 0 {
			e.Hash.kind = keyedMD5
		}
	}
	return e, err
}

func (e *Entry) decode(value []byte) (flags byte, err error) {
	flags, taken, expires, rest, ok := decodeTimes(value)
	length, n := binary.Uvarint(rest)
	if !ok || n <= 0 || length > uint64(len(rest)-n) {
		return 0, fmt.Errorf("%w: entry of %d octets", ErrDamaged, len(value))
	}
	e.Time, e.Expires = taken, expires
	address, source := rest[n:n+int(length)], rest[n+int(length):]
	e.Source = string(source)
	if len(address) == 0 {
		return flags, nil
	}
	if e.Address, err = mail.ParseAddress(string(address)); err != nil {
		return 0, fmt.Errorf("%w: address of an entry", ErrDamaged)
	}
	return flags, nil
}

func decodeTimes(value []byte) (flags byte, taken, expires time.Time, rest []byte, ok bool) {
	if len(value) < 2 || value[0] != valueVersion {
		return 0, taken, expires, nil, false
	}
	milliseconds, n := binary.Varint(value[2:])
	if n <= 0 {
		return 0, taken, expires, nil, false
	}
	end, m := binary.Varint(value[2+n:])
	if m <= 0 {
		return 0, taken, expires, nil, false
	}
	return value[1], time.UnixMilli(milliseconds).UTC(), fromSeconds(end), value[2+n+m:], true
}

// expiresOf reads the end of an entry out of its value.
func expiresOf(value []byte) (time.Time, error) {
	_, _, expires, _, ok := decodeTimes(value)
	if !ok {
		return time.Time{}, fmt.Errorf("%w: entry of %d octets", ErrDamaged, len(value))
	}
	return expires, nil
}

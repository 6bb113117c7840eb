package consent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
)

// Origin says by whom something was allowed or forbidden. Each has a word of
// its own, and what all of them allow holds: no tenant lifts what a reader
// forbade.
type Origin string

const (
	// Reader: the person said so, on a page behind a link in their mail.
	Reader Origin = "reader"
	// Tenant: the tenant's application or the operator said so.
	Tenant Origin = "tenant"
	// Erased: the person had their data erased, so that nothing is measured of
	// them. The address is not kept.
	Erased Origin = "erased"
)

// Record is what one reader allows one tenant.
type Record struct {
	Tenant  string
	Address mail.Address
	By      Origin
	// Measure is what may be kept at most.
	Measure account.Measure
	Time    time.Time
	// Source says what led to it: a message's id, a form, a campaign.
	Source string
}

// ErrRecord: a record that cannot be kept.
var ErrRecord = errors.New("invalid consent")

const (
	maxTenant = 255
	maxSource = 255
)

func (r *Record) check() error {
	switch {
	case r.Tenant == "" || len(r.Tenant) > maxTenant || strings.IndexByte(r.Tenant, 0) >= 0:
		return fmt.Errorf("%w: it needs a tenant", ErrRecord)
	case r.Address.IsZero():
		return fmt.Errorf("%w: it needs an address", ErrRecord)
	case r.By != Reader && r.By != Tenant:
		return fmt.Errorf("%w: it is neither a reader's nor a tenant's", ErrRecord)
	case len(r.Source) > maxSource:
		return fmt.Errorf("%w: its source is longer than %d octets", ErrRecord, maxSource)
	}
	return nil
}

// Keys of records: tenant, NUL, person, one octet of who said it.
func recordKey(tenant string, p Person, by Origin) []byte {
	return append(append(prefix(tenant), p[:]...), by[0])
}

// prefix begins the keys of a tenant.
func prefix(tenant string) []byte { return append([]byte(tenant), 0) }

// readKey is the inverse of recordKey.
func readKey(key []byte) (tenant string, p Person, by Origin, err error) {
	tenant, rest, ok := strings.Cut(string(key), "\x00")
	if !ok || len(rest) != personSize+1 {
		return "", p, "", fmt.Errorf("%w: key of %d octets", ErrDamaged, len(key))
	}
	copy(p[:], rest)
	for _, by := range []Origin{Reader, Tenant, Erased} {
		if by[0] == rest[personSize] {
			return tenant, p, by, nil
		}
	}
	return "", p, "", fmt.Errorf("%w: key of an unknown kind", ErrDamaged)
}

// encode returns the value: measure, time in milliseconds, address, source.
func (r *Record) encode() []byte {
	address := r.Address.String()
	b := append(make([]byte, 0, 32+len(address)+len(r.Source)), byte(r.Measure))
	b = binary.AppendVarint(b, r.Time.UnixMilli())
	b = binary.AppendUvarint(b, uint64(len(address)))
	return append(append(b, address...), r.Source...)
}

// decode is the inverse of the key and encode.
func decode(key, value []byte) (r Record, err error) {
	if r.Tenant, _, r.By, err = readKey(key); err != nil {
		return r, err
	}
	damaged := fmt.Errorf("%w: record of %d octets", ErrDamaged, len(value))
	if len(value) == 0 {
		return r, damaged
	}
	r.Measure = account.Measure(value[0])
	ms, n := binary.Varint(value[1:])
	if n <= 0 {
		return r, damaged
	}
	r.Time = time.UnixMilli(ms).UTC()
	rest := value[1+n:]
	length, n := binary.Uvarint(rest)
	if n <= 0 || length > uint64(len(rest)-n) {
		return r, damaged
	}
	address, source := rest[n:n+int(length)], rest[n+int(length):]
	r.Source = string(source)
	if len(address) == 0 {
		return r, nil
	}
	if r.Address, err = mail.ParseAddress(string(address)); err != nil {
		return r, damaged
	}
	return r, nil
}

// Package suppress answers whether an address may be mailed: by this tenant,
// on this stream. It keeps one entry for each reason not to, in bbolt, under a
// keyed hash of the address.
package suppress

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Reason says why an address is not mailed.
type Reason string

const (
	// Unsubscribed: the reader asked for no more.
	Unsubscribed Reason = "unsubscribed"
	// Manual: the operator or the tenant said so.
	Manual Reason = "manual"
	// Erased: the person had their data erased. The address is not kept, only
	// its keyed hash, so that they stay unmailed.
	Erased Reason = "erased"
)

// rank orders reasons for Check, which names one; the lowest comes first.
func (r Reason) rank() int {
	switch r {
	case Erased:
		return 0
	case Unsubscribed:
		return 1
	case Manual:
		return 2
	}
	return 3
}

// Entry is one reason not to mail an address.
type Entry struct {
	Tenant string `json:"tenant"`
	// Stream that it holds for; empty for all of the tenant's.
	Stream string `json:"stream,omitempty"`
	// Address is the zero one where only its hash is kept.
	Address mail.Address `json:"address,omitzero"`
	Reason  Reason       `json:"reason"`
	Time    time.Time    `json:"time"`
	// Source is the id of the message that led to it, if one did.
	Source string `json:"source,omitempty"`
}

// ErrEntry: an entry that cannot be kept.
var ErrEntry = errors.New("invalid suppression")

const maxName = 255

// check refuses what has no place in a key.
func (e *Entry) check() error {
	if e.Tenant == "" || e.Address.IsZero() || e.Reason == "" {
		return fmt.Errorf("%w: it needs a tenant, an address and a reason", ErrEntry)
	}
	for _, name := range []string{e.Tenant, e.Stream, string(e.Reason)} {
		if len(name) > maxName || strings.IndexByte(name, 0) >= 0 {
			return fmt.Errorf("%w: a name is longer than %d octets or has a NUL", ErrEntry, maxName)
		}
	}
	return nil
}

// stored is the value of an entry; the rest is in its key.
type stored struct {
	Address mail.Address `json:"address,omitzero"`
	Time    time.Time    `json:"time"`
	Source  string       `json:"source,omitempty"`
}

func (e *Entry) encode() ([]byte, error) {
	return json.Marshal(stored{e.Address, e.Time.UTC(), e.Source})
}

// decodeEntry is the inverse of the key and encode.
func decodeEntry(key, value []byte) (Entry, error) {
	tenant, rest, ok := strings.Cut(string(key), "\x00")
	if !ok || len(rest) <= hashLength {
		return Entry{}, fmt.Errorf("%w: key of %d octets", ErrDamaged, len(key))
	}
	stream, reason, _ := strings.Cut(rest[hashLength:], "\x00")
	var s stored
	if err := json.Unmarshal(value, &s); err != nil {
		return Entry{}, fmt.Errorf("%w: entry: %w", ErrDamaged, err)
	}
	return Entry{
		Tenant: tenant, Stream: stream, Reason: Reason(reason),
		Address: s.Address, Time: s.Time, Source: s.Source,
	}, nil
}

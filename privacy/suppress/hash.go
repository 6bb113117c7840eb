package suppress

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Hash stands for an address in lists that do not name it: the SHA-256 or MD5
// of its normalised form, as such lists come in the trade, or the keyed hash of
// our own that an export shows, which only the store that wrote it can read.
// Hashes are comparable; the zero one is none.
type Hash struct {
	kind hashKind
	// sum is in octets.
	sum string
	// owner is the fingerprint of the tenant and the secret of a keyed one.
	owner string
}

type hashKind string

const (
	sha256Hash hashKind = "sha256"
	md5Hash    hashKind = "md5"
	// keyedHash and keyedMD5 are what the key of an entry has, the latter for
	// one of which only the MD5 was known.
	keyedHash hashKind = "keyed"
	keyedMD5  hashKind = "keyed-md5"
)

// ErrHash: text that is no hash of an address.
var ErrHash = errors.New("invalid hash of an address")

// ParseHash reads what String writes, and bare hexadecimal digits: 64 are a
// SHA-256, 32 an MD5.
func ParseHash(text string) (Hash, error) {
	kind, digits, found := strings.Cut(strings.TrimSpace(text), ":")
	if !found {
		kind, digits = bareKind(kind), kind
	}
	h := Hash{kind: hashKind(strings.ToLower(kind))}
	size := 0
	switch h.kind {
	case sha256Hash:
		size = 32
	case md5Hash:
		size = 16
	case keyedHash, keyedMD5:
		size = hashLength
		h.owner, digits, _ = strings.Cut(digits, ":")
	}
	sum, err := hex.DecodeString(digits)
	if err != nil || size == 0 || len(sum) != size || h.keyed() != (h.owner != "") {
		return Hash{}, fmt.Errorf("%w: it is neither 64 nor 32 hexadecimal digits, nor what an export shows", ErrHash)
	}
	h.sum = string(sum)
	return h, nil
}

func bareKind(digits string) string {
	if len(digits) == 32 {
		return string(md5Hash)
	}
	return string(sha256Hash)
}

func (h Hash) keyed() bool { return h.kind == keyedHash || h.kind == keyedMD5 }

// ofMD5 reports whether an address is found under the hash only by its MD5.
func (h Hash) ofMD5() bool { return h.kind == md5Hash || h.kind == keyedMD5 }

// IsZero reports whether h is no hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// String returns the kind, a colon and hexadecimal digits; empty for none.
func (h Hash) String() string {
	switch {
	case h.IsZero():
		return ""
	case h.keyed():
		return string(h.kind) + ":" + h.owner + ":" + hex.EncodeToString([]byte(h.sum))
	}
	return string(h.kind) + ":" + hex.EncodeToString([]byte(h.sum))
}

// MarshalText returns String.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText parses as ParseHash does; the empty text is none.
func (h *Hash) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*h = Hash{}
		return nil
	}
	*h, err = ParseHash(string(text))
	return err
}

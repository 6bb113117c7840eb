package token

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
)

// Purpose binds a token to one use; a token for one opens as no other.
type Purpose uint8

const (
	// PurposeClick is a link on its way to its target.
	PurposeClick Purpose = 1
	// PurposeOpen is the pixel.
	PurposeOpen Purpose = 2
	// PurposeUnsubscribe ends a subscription.
	PurposeUnsubscribe Purpose = 3
)

const (
	version   = 1
	idBits    = 6
	tagSize   = 16
	headSize  = 1 + tagSize
	maxLength = 16 << 10
)

// Overhead is what sealing adds to a payload, in octets before base64.
const Overhead = headSize

// MaxLength is the length of the longest token as text.
const MaxLength = maxLength

// encoding is strict: it refuses spare bits, so that a token has one spelling.
func encoding() *base64.Encoding { return base64.RawURLEncoding.Strict() }

// Keyring seals with its active key and opens with every key it holds. It is
// safe for concurrent use and never shows its keys.
type Keyring struct {
	active   ID
	sealers  [int(MaxID) + 1]*sealer
	encoding *base64.Encoding
}

// NewKeyring holds the given keys; the active one must be among them.
func NewKeyring(active ID, keys map[ID]Key) (*Keyring, error) {
	r := &Keyring{active: active, encoding: encoding()}
	for id, key := range keys {
		if id > MaxID {
			return nil, fmt.Errorf("%w: id %d is above %d", ErrKey, id, MaxID)
		}
		s, err := newSealer(key)
		if err != nil {
			return nil, err
		}
		r.sealers[id] = s
	}
	if active > MaxID || r.sealers[active] == nil {
		return nil, fmt.Errorf("%w: no key with the active id %d", ErrKey, active)
	}
	return r, nil
}

// Active is the id of the key that seals.
func (r *Keyring) Active() ID { return r.active }

// String names the active key's id and nothing else.
func (r *Keyring) String() string { return fmt.Sprintf("keyring with active key %d", r.active) }

// GoString is String.
func (r *Keyring) GoString() string { return r.String() }

// Seal returns the token of a payload for one purpose.
func (r *Keyring) Seal(purpose Purpose, payload []byte) (string, error) {
	if r.encoding.EncodedLen(headSize+len(payload)) > maxLength {
		return "", fmt.Errorf("%w: %d octets", ErrPayload, len(payload))
	}
	s := r.sealers[r.active]
	raw := make([]byte, headSize+len(payload))
	raw[0] = version<<idBits | byte(r.active)
	tag := s.tag(raw[0], purpose, payload)
	copy(raw[1:], tag[:])
	s.crypt(raw[headSize:], payload, tag)
	return r.encoding.EncodeToString(raw), nil
}

// Open returns the payload of a token that Seal made for the same purpose with
// any key of the ring.
func (r *Keyring) Open(purpose Purpose, token string) ([]byte, error) {
	if len(token) > maxLength {
		return nil, ErrToken
	}
	// The decoder would skip line breaks, giving one token many spellings.
	if slices.ContainsFunc([]byte(token), func(c byte) bool { return c == '\r' || c == '\n' }) {
		return nil, ErrToken
	}
	raw, err := r.encoding.DecodeString(token)
	if err != nil || len(raw) < headSize || raw[0]>>idBits != version {
		return nil, ErrToken
	}
	s := r.sealers[raw[0]&byte(MaxID)]
	if s == nil {
		return nil, ErrUnknownKey
	}
	tag, payload := [tagSize]byte(raw[1:headSize]), raw[headSize:]
	s.crypt(payload, payload, tag)
	want := s.tag(raw[0], purpose, payload)
	if subtle.ConstantTimeCompare(tag[:], want[:]) != 1 {
		return nil, ErrToken
	}
	return payload, nil
}

package token

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
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
	// PurposeCountedClick and PurposeCountedOpen tell of no person.
	PurposeCountedClick Purpose = 4
	PurposeCountedOpen  Purpose = 5
	// PurposeLastOpen is a pixel that tells of a person and of nothing else.
	PurposeLastOpen Purpose = 6
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
	keys     atomic.Pointer[keys]
	encoding *base64.Encoding
}

// keys are those of a ring at one time.
type keys struct {
	active  ID
	sealers [int(MaxID) + 1]*sealer
}

// NewKeyring holds the given keys; the active one must be among them.
func NewKeyring(active ID, held map[ID]Key) (*Keyring, error) {
	k := &keys{active: active}
	for id, key := range held {
		if id > MaxID {
			return nil, fmt.Errorf("%w: id %d is above %d", ErrKey, id, MaxID)
		}
		s, err := newSealer(key)
		if err != nil {
			return nil, err
		}
		k.sealers[id] = s
	}
	if active > MaxID || k.sealers[active] == nil {
		return nil, fmt.Errorf("%w: no key with the active id %d", ErrKey, active)
	}
	r := &Keyring{encoding: encoding()}
	r.keys.Store(k)
	return r, nil
}

// Replace makes the ring hold the keys of another one instead of its own, for
// everybody who has it.
func (r *Keyring) Replace(other *Keyring) { r.keys.Store(other.keys.Load()) }

// Active is the id of the key that seals.
func (r *Keyring) Active() ID { return r.keys.Load().active }

// IDs are those of all keys, in order.
func (r *Keyring) IDs() []ID {
	var ids []ID
	for id, s := range r.keys.Load().sealers {
		if s != nil {
			ids = append(ids, ID(id))
		}
	}
	return ids
}

// String names the active key's id and nothing else.
func (r *Keyring) String() string { return fmt.Sprintf("keyring with active key %d", r.Active()) }

// GoString is String.
func (r *Keyring) GoString() string { return r.String() }

// Seal returns the token of a payload for one purpose.
func (r *Keyring) Seal(purpose Purpose, payload []byte) (string, error) {
	if r.encoding.EncodedLen(headSize+len(payload)) > maxLength {
		return "", fmt.Errorf("%w: %d octets", ErrPayload, len(payload))
	}
	k := r.keys.Load()
	s := k.sealers[k.active]
	raw := make([]byte, headSize+len(payload))
	raw[0] = version<<idBits | byte(k.active)
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
	if strings.Contains(token, "\n") || strings.Contains(token, "\r") {
		return nil, ErrToken
	}
	raw, err := r.encoding.DecodeString(token)
	if err != nil || len(raw) < headSize || raw[0]>>idBits != version {
		return nil, ErrToken
	}
	s := r.keys.Load().sealers[raw[0]&byte(MaxID)]
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

// KeyOf returns the id of the key that a token says it was made with. Nothing
// proves it but Open.
func KeyOf(token string) (ID, bool) {
	if len(token) < encoding().EncodedLen(headSize) || len(token) > maxLength {
		return 0, false
	}
	first, err := base64.RawURLEncoding.DecodeString(token[:4])
	if err != nil || first[0]>>idBits != version {
		return 0, false
	}
	return ID(first[0] & byte(MaxID)), true
}

package verp

import (
	"crypto/hmac"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Kind is what a token is for.
type Kind byte

const (
	// Bounce is a return path.
	Bounce Kind = 'b'
	// Complaint is where complaints go, and what they name.
	Complaint Kind = 'c'
	// Unsubscribe is the address of a List-Unsubscribe field.
	Unsubscribe Kind = 'u'
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case Bounce:
		return "bounce"
	case Complaint:
		return "complaint"
	case Unsubscribe:
		return "unsubscribe"
	}
	return fmt.Sprintf("kind %d", byte(k))
}

func (k Kind) valid() bool { return k == Bounce || k == Complaint || k == Unsubscribe }

// ID is what a token says.
type ID struct {
	// Message and Index name the recipient.
	Message [12]byte
	Index   uint32
	// Tenant is TenantNumber of its name.
	Tenant uint32
}

var (
	// ErrToken: not a token of ours; which check failed is kept from the caller
	// on purpose, save for ErrUnknownKey.
	ErrToken = errors.New("not a return token of ours")
	// ErrUnknownKey: a token whose key is not held: forged, or older than the
	// oldest key kept.
	ErrUnknownKey = errors.New("return token with an unknown key")
	// ErrKind: a token was to be made of a kind that there is not.
	ErrKind = errors.New("no such kind of return token")
)

const (
	version = 1
	idBits  = 6
	// tagSize is 80 bits: a forger has one guess a message, over SMTP.
	tagSize = 10
	// fixed is what stands before the index.
	fixed = 1 + 12 + 4
	// MaxLength is the longest token, in octets.
	MaxLength = 2 + (fixed+binary.MaxVarintLen32+tagSize)*8/5 + 1
	minLength = 2 + ((fixed+1+tagSize)*8+4)/5
)

// Codec makes and opens tokens. It may be used from any goroutine.
type Codec struct {
	keys     Authenticator
	encoding *base32.Encoding
}

// New makes a Codec over keys.
func New(keys Authenticator) *Codec {
	return &Codec{keys: keys, encoding: base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)}
}

// Encode returns the token of id for one purpose, under the active key. It is a
// local part that needs no quotes.
func (c *Codec) Encode(kind Kind, id ID) (string, error) {
	if !kind.valid() {
		return "", ErrKind
	}
	key := c.keys.Active()
	if key > MaxKey {
		return "", fmt.Errorf("%w: id %d", ErrKey, key)
	}
	raw := make([]byte, 0, 1+fixed+binary.MaxVarintLen32+tagSize)
	raw = append(raw, byte(kind), version<<idBits|key)
	raw = append(raw, id.Message[:]...)
	raw = binary.BigEndian.AppendUint32(raw, id.Tenant)
	raw = binary.AppendUvarint(raw, uint64(id.Index))
	tag, ok := c.keys.MAC(key, raw)
	if !ok || len(tag) < tagSize {
		return "", fmt.Errorf("%w: no usable key with the active id %d", ErrKey, key)
	}
	raw = append(raw, tag[:tagSize]...)
	return string(kind) + "-" + c.encoding.EncodeToString(raw[1:]), nil
}

// Address returns the token of id as an address at a domain.
func (c *Codec) Address(kind Kind, id ID, domain mail.Domain) (mail.Address, error) {
	local, err := c.Encode(kind, id)
	if err != nil {
		return mail.Address{}, err
	}
	return mail.MakeAddress(local, domain)
}

// Decode opens a token, in whatever case it comes. Errors are ErrToken and
// ErrUnknownKey.
func (c *Codec) Decode(token string) (Kind, ID, error) {
	if len(token) < minLength || len(token) > MaxLength || token[1] != '-' {
		return 0, ID{}, ErrToken
	}
	token = strings.ToLower(token)
	kind := Kind(token[0])
	raw, err := c.encoding.DecodeString(token[2:])
	// Spare bits and line breaks would give one token many spellings.
	if err != nil || !kind.valid() || c.encoding.EncodeToString(raw) != token[2:] || len(raw) < fixed+1+tagSize {
		return 0, ID{}, ErrToken
	}
	id, ok := readID(raw[:len(raw)-tagSize])
	if !ok {
		return 0, ID{}, ErrToken
	}
	said, tag := append([]byte{byte(kind)}, raw[:len(raw)-tagSize]...), raw[len(raw)-tagSize:]
	want, ok := c.keys.MAC(raw[0]&MaxKey, said)
	switch {
	case !ok:
		return 0, ID{}, ErrUnknownKey
	case len(want) < tagSize || !hmac.Equal(tag, want[:tagSize]):
		return 0, ID{}, ErrToken
	}
	return kind, id, nil
}

// readID reads what is before the tag; the index in its shortest form only.
func readID(raw []byte) (id ID, ok bool) {
	if raw[0]>>idBits != version {
		return ID{}, false
	}
	copy(id.Message[:], raw[1:])
	id.Tenant = binary.BigEndian.Uint32(raw[13:])
	index, n := binary.Uvarint(raw[fixed:])
	if n != len(raw)-fixed || index > math.MaxUint32 || n > 1 && raw[len(raw)-1] == 0 {
		return ID{}, false
	}
	id.Index = uint32(index)
	return id, true
}

// maxSearch bounds what is searched for tokens, in octets.
const maxSearch = 64 << 10

// Search returns the first token of one of the kinds that opens, anywhere in
// the texts: a returned header field, an address, whatever was made of it on
// the way.
func (c *Codec) Search(kinds string, texts ...string) (Kind, ID, bool) {
	for _, text := range texts {
		text = text[:min(len(text), maxSearch)]
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !isTokenRune(r) }) {
			for at := range len(word) - 1 {
				if word[at+1] != '-' || !strings.ContainsRune(kinds, rune(word[at]|0x20)) {
					continue
				}
				if kind, id, err := c.Decode(word[at:]); err == nil {
					return kind, id, true
				}
			}
		}
	}
	return 0, ID{}, false
}

func isTokenRune(r rune) bool {
	return r == '-' || r >= '2' && r <= '7' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash"
	"log/slog"
	"sync"
)

// ID names a key inside tokens, from 0 to MaxID.
type ID uint8

// MaxID is the greatest key id: it shares an octet with the version.
const MaxID ID = 63

// KeySize is the length of a master key in octets.
const KeySize = 32

// Key is a master key. It never shows itself: fmt, log/slog and encoding see a
// placeholder. WriteKeyLine is the one way out.
type Key struct{ secret [KeySize]byte }

// Generate makes a random key.
func Generate() Key {
	var k Key
	rand.Read(k.secret[:]) // never fails: see crypto/rand.Read
	return k
}

// MakeKey takes a master key of KeySize octets.
func MakeKey(secret []byte) (Key, error) {
	if len(secret) != KeySize {
		return Key{}, fmt.Errorf("%w: %d octets instead of %d", ErrKey, len(secret), KeySize)
	}
	return Key{[KeySize]byte(secret)}, nil
}

const redacted = "[redacted]"

// String hides the key.
func (Key) String() string { return redacted }

// GoString hides the key from %#v.
func (Key) GoString() string { return redacted }

// LogValue hides the key from log/slog.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the key from encoders.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// sealer holds the keys derived from one master key, ready for use.
type sealer struct {
	block cipher.Block
	// macs are HMAC states, which are costly to set up.
	macs sync.Pool
	// returns is the key of what is no token of this room; see Keyring.MAC.
	returns []byte
}

func newSealer(k Key) (*sealer, error) {
	encryption, err := hkdf.Key(sha256.New, k.secret[:], nil, "postrider token encryption", KeySize)
	if err != nil {
		return nil, fmt.Errorf("%w: derivation failed", ErrKey)
	}
	authentication, err := hkdf.Key(sha256.New, k.secret[:], nil, "postrider token authentication", KeySize)
	if err != nil {
		return nil, fmt.Errorf("%w: derivation failed", ErrKey)
	}
	block, err := aes.NewCipher(encryption)
	if err != nil {
		return nil, fmt.Errorf("%w: cipher", ErrKey)
	}
	returns, err := hkdf.Key(sha256.New, k.secret[:], nil, "postrider return tokens", KeySize)
	if err != nil {
		return nil, fmt.Errorf("%w: derivation failed", ErrKey)
	}
	s := &sealer{block: block, returns: returns}
	s.macs.New = func() any { return hmac.New(sha256.New, authentication) }
	return s, nil
}

// tag authenticates plaintext for a purpose under the header octet.
func (s *sealer) tag(header byte, purpose Purpose, plaintext []byte) [tagSize]byte {
	mac := s.macs.Get().(hash.Hash)
	defer s.macs.Put(mac)
	mac.Reset()
	mac.Write([]byte{header, byte(purpose)})
	mac.Write(plaintext)
	var sum [sha256.Size]byte
	mac.Sum(sum[:0])
	return [tagSize]byte(sum[:tagSize])
}

// crypt is its own inverse.
func (s *sealer) crypt(dst, src []byte, tag [tagSize]byte) {
	cipher.NewCTR(s.block, tag[:]).XORKeyStream(dst, src)
}

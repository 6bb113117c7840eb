package verp

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxKey is the greatest key id: it shares an octet with the version.
const MaxKey uint8 = 1<<idBits - 1

// ErrKey: a key or key id that cannot be used.
var ErrKey = errors.New("invalid key for return tokens")

// Authenticator holds the keys: several, so that tokens made before a rotation
// still open. It must be safe for concurrent use.
type Authenticator interface {
	// Active is the id of the key that new tokens are made with, up to MaxKey.
	Active() uint8
	// MAC authenticates data with the key of that id: at least 10 octets, for
	// this purpose and no other. False means that there is no such key.
	MAC(id uint8, data []byte) ([]byte, bool)
}

// Keyring is an Authenticator over secrets, by HMAC-SHA256. It never shows its
// keys.
type Keyring struct {
	active uint8
	keys   map[uint8][]byte
}

var _ Authenticator = (*Keyring)(nil)

const minSecret = 16

// NewKeyring derives a key from each secret (HKDF, RFC 5869), so that secrets
// may serve other purposes too. The active one must be among them.
func NewKeyring(active uint8, secrets map[uint8][]byte) (*Keyring, error) {
	r := &Keyring{active: active, keys: make(map[uint8][]byte)}
	for id, secret := range secrets {
		if id > MaxKey || len(secret) < minSecret {
			return nil, fmt.Errorf("%w: id %d with %d octets", ErrKey, id, len(secret))
		}
		key, err := hkdf.Key(sha256.New, secret, nil, "postrider return tokens", sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("%w: derivation failed", ErrKey)
		}
		r.keys[id] = key
	}
	if r.keys[active] == nil {
		return nil, fmt.Errorf("%w: no key with the active id %d", ErrKey, active)
	}
	return r, nil
}

// Active is the id of the key that makes new tokens.
func (r *Keyring) Active() uint8 { return r.active }

// MAC authenticates data with one of the keys.
func (r *Keyring) MAC(id uint8, data []byte) ([]byte, bool) {
	key, ok := r.keys[id]
	if !ok {
		return nil, false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(data)
	return mac.Sum(nil), true
}

// String names the active key's id and nothing else.
func (r *Keyring) String() string {
	return fmt.Sprintf("return token keys with active key %d", r.active)
}

// GoString is String.
func (r *Keyring) GoString() string { return r.String() }

// TenantNumber is the number that stands for a tenant in a token. Whoever opens
// one compares it with those of the tenants there are.
func TenantNumber(name string) uint32 {
	sum := sha256.Sum256([]byte("postrider tenant " + name))
	return binary.BigEndian.Uint32(sum[:])
}

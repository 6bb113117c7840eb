package suppress

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"

	"github.com/postrider-mta/postrider/internal/datafolder"
	"github.com/postrider-mta/postrider/internal/mail"
)

// secret is the key of the hashes, made ready. It lies in a file of its own, so
// that who has only the database cannot try addresses against it.
type secret struct {
	key []byte
	// begun is an HMAC that has taken in the key, which is half of its work;
	// nil where it cannot be copied.
	begun hash.Cloner
}

func newSecret(key []byte) secret {
	begun, _ := hmac.New(sha256.New, key).(hash.Cloner)
	return secret{key, begun}
}

// mac returns an HMAC to write to.
func (s secret) mac() hash.Hash {
	if s.begun != nil {
		if mac, err := s.begun.Clone(); err == nil {
			return mac
		}
	}
	return hmac.New(sha256.New, s.key)
}

const (
	secretLength = 32
	// hashLength is what is kept of the hash: as much as nobody meets twice.
	hashLength = 16
)

// loadSecret reads the key, or makes one where there is no database yet.
func loadSecret(path string, mayMake bool) (secret, error) {
	raw, err := os.ReadFile(path)
	switch {
	case err == nil && len(raw) == secretLength:
		return newSecret(raw), nil
	case err == nil:
		return secret{}, fmt.Errorf("%w: %s has %d octets instead of %d", ErrSecret, path, len(raw), secretLength)
	case errors.Is(err, os.ErrNotExist) && mayMake:
		return makeSecret(path)
	case errors.Is(err, os.ErrNotExist):
		return secret{}, fmt.Errorf("%w: %s is missing; restore it beside the database, whose entries cannot be read without it", ErrSecret, path)
	}
	return secret{}, err
}

func makeSecret(path string) (secret, error) {
	key := make([]byte, secretLength)
	rand.Read(key) // never fails: see crypto/rand.Read
	if err := datafolder.Replace(path, key); err != nil {
		return secret{}, err
	}
	return newSecret(key), nil
}

// fingerprint tells two secrets apart without giving one away.
func (s secret) fingerprint() []byte { return s.sum("fingerprint", "", nil) }

// sum is the HMAC of a use, a tenant and what it is about, each ended by NUL.
func (s secret) sum(use, tenant string, about []byte) []byte {
	buffer := make([]byte, 0, 128)
	buffer = append(append(buffer, use...), 0)
	buffer = append(append(buffer, tenant...), 0)
	buffer = append(append(buffer, about...), 0)
	mac := s.mac()
	mac.Write(buffer)
	return mac.Sum(buffer[:0])
}

// owner tells whose a keyed hash is, by the tenant and the secret.
func (s secret) owner(tenant string) string {
	return hex.EncodeToString(s.sum("owner", tenant, nil)[:4])
}

// prefixOf begins the keys of all entries about an address: tenant, NUL, keyed
// hash of a hash of the address. The tenant is part of it, so that tenants'
// lists cannot be joined.
func (s secret) prefixOf(tenant string, kind hashKind, sum []byte) []byte {
	prefix := make([]byte, 0, len(tenant)+1+hashLength+32)
	prefix = append(append(prefix, tenant...), 0)
	return append(prefix, s.sum(string(kind), tenant, sum)[:hashLength]...)
}

// prefix is prefixOf an address that is known. An entry that came as a SHA-256
// lies in the same place, and costs a look-up nothing.
func (s secret) prefix(tenant string, a mail.Address) []byte {
	sum := sha256.Sum256([]byte(a.Key()))
	return s.prefixOf(tenant, sha256Hash, sum[:])
}

// prefixMD5 is where entries lie that came as an MD5.
func (s secret) prefixMD5(tenant string, a mail.Address) []byte {
	sum := md5.Sum([]byte(a.Key()))
	return s.prefixOf(tenant, md5Hash, sum[:])
}

// prefixHash is prefixOf a hash that somebody else made of an address, or that
// we did.
func (s secret) prefixHash(tenant string, h Hash) ([]byte, error) {
	if !h.keyed() {
		return s.prefixOf(tenant, h.kind, []byte(h.sum)), nil
	}
	if h.owner != s.owner(tenant) {
		return nil, fmt.Errorf("%w: it was exported from another tenant's list, or with another key", ErrHash)
	}
	return append(append([]byte(tenant), 0), h.sum...), nil
}

// keyOf is where an entry is kept: prefix, stream, NUL, reason.
func (s secret) keyOf(e *Entry) ([]byte, error) {
	if !e.Address.IsZero() {
		return e.under(s.prefix(e.Tenant, e.Address)), nil
	}
	prefix, err := s.prefixHash(e.Tenant, e.Hash)
	return e.under(prefix), err
}

// under is the key of an entry with a prefix that is known.
func (e *Entry) under(prefix []byte) []byte {
	key := append(prefix[:len(prefix):len(prefix)], e.Stream...)
	return append(append(key, 0), e.Reason...)
}

package suppress

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/postrider-mta/postrider/internal/mail"
)

// secret is the key of the hashes. It lies in a file of its own, so that who
// has only the database cannot try addresses against it.
type secret []byte

const (
	secretLength = 32
	hashLength   = sha256.Size
)

// loadSecret reads the key, or makes one where there is no database yet.
func loadSecret(path string, mayMake bool) (secret, error) {
	raw, err := os.ReadFile(path)
	switch {
	case err == nil && len(raw) == secretLength:
		return raw, nil
	case err == nil:
		return nil, fmt.Errorf("%w: %s has %d octets instead of %d", ErrSecret, path, len(raw), secretLength)
	case errors.Is(err, os.ErrNotExist) && mayMake:
		return makeSecret(path)
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %s is missing; restore it beside the database, whose entries cannot be read without it", ErrSecret, path)
	}
	return nil, err
}

func makeSecret(path string) (secret, error) {
	key := make(secret, secretLength)
	rand.Read(key) // never fails: see crypto/rand.Read
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	return key, rename(temporary, path)
}

// fingerprint tells two secrets apart without giving one away.
func (s secret) fingerprint() []byte { return s.sum("fingerprint") }

func (s secret) sum(parts ...string) []byte {
	h := hmac.New(sha256.New, s)
	for _, part := range parts {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return h.Sum(nil)
}

// prefix begins the keys of all entries about an address: tenant, NUL, hash.
// The tenant is part of the hash, so that tenants' lists cannot be joined.
func (s secret) prefix(tenant string, a mail.Address) []byte {
	prefix := append([]byte(tenant), 0)
	return append(prefix, s.sum("address", tenant, a.Key())...)
}

// key is where an entry is kept: prefix, stream, NUL, reason.
func (s secret) key(e *Entry) []byte {
	key := append(s.prefix(e.Tenant, e.Address), e.Stream...)
	return append(append(key, 0), e.Reason...)
}

// rename moves a file and makes that durable.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

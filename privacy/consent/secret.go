package consent

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"github.com/postrider-mta/postrider/internal/datafolder"
	"github.com/postrider-mta/postrider/internal/mail"
)

const (
	secretLength = 32
	personSize   = 8
)

// Person stands for one reader of one tenant: a keyed hash, from which nobody
// finds the address. Tokens of tracked links carry it. Of a million persons no
// two are likely to share one.
type Person [personSize]byte

// Person returns what stands for a reader. It is never the zero one.
func (s *Store) Person(tenant string, a mail.Address) [personSize]byte { return s.person(tenant, a) }

func (s *Store) person(tenant string, a mail.Address) (p Person) {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write(append([]byte(tenant), 0))
	mac.Write([]byte(a.Key()))
	copy(p[:], mac.Sum(nil))
	if p == (Person{}) {
		p[0] = 1
	}
	return p
}

// loadSecret reads the key of the hashes, or makes one where there is no
// database yet. It lies in a file of its own, so that who has only the database
// cannot try addresses against what an erasure left.
func loadSecret(path string, mayMake bool) ([]byte, error) {
	raw, err := os.ReadFile(path)
	switch {
	case err == nil && len(raw) == secretLength:
		return raw, nil
	case err == nil:
		return nil, fmt.Errorf("%w: %s has %d octets instead of %d", ErrSecret, path, len(raw), secretLength)
	case errors.Is(err, os.ErrNotExist) && mayMake:
		key := make([]byte, secretLength)
		rand.Read(key) // never fails: see crypto/rand.Read
		return key, datafolder.Replace(path, key)
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %s is missing; restore it beside the database, without which nobody's wishes are found", ErrSecret, path)
	}
	return nil, err
}

// fingerprint tells two secrets apart without giving one away.
func (s *Store) fingerprint() []byte {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte("\x00fingerprint"))
	return mac.Sum(nil)
}

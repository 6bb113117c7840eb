// Package password hashes and verifies the passwords that applications log in
// with: argon2id (RFC 9106) in the PHC string format.
package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// ErrHash is wrapped by every error about a hash that cannot be used. It never
// shows the hash.
var ErrHash = errors.New("not a usable argon2id hash")

// The cost of new hashes: 19 MiB, two passes, one lane.
const (
	newMemory = 19 * 1024
	newTime   = 2
	newLanes  = 1
	saltBytes = 16
	keyBytes  = 32
)

// What a hash may ask of this machine, so that a slip in the configuration
// cannot stop it.
const (
	maxMemory = 1024 * 1024
	maxTime   = 64
	maxLanes  = 64
	maxBytes  = 128
)

type parameters struct {
	memory, time uint32
	lanes        uint8
	salt, key    []byte
}

// Hash returns password as a PHC string with a new random salt.
func Hash(password string) string {
	p := parameters{memory: newMemory, time: newTime, lanes: newLanes, salt: make([]byte, saltBytes)}
	rand.Read(p.salt) // never fails: see crypto/rand.Read
	p.key = p.derive(password, keyBytes)
	return p.String()
}

// Verify reports whether password is the one that hash was made from. An error
// is about the hash.
func Verify(hash, password string) (bool, error) {
	p, err := parse(hash)
	if err != nil {
		return false, err
	}
	derived := p.derive(password, uint32(len(p.key)))
	return subtle.ConstantTimeCompare(derived, p.key) == 1, nil
}

// Check reports whether Verify can use hash, without hashing anything.
func Check(hash string) error {
	_, err := parse(hash)
	return err
}

func (p parameters) derive(password string, size uint32) []byte {
	return argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.lanes, size)
}

func (p parameters) String() string {
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, p.memory, p.time, p.lanes, encode(p.salt), encode(p.key))
}

func parse(hash string) (parameters, error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return parameters{}, fmt.Errorf("%w: it begins with $argon2id$ and has five parts", ErrHash)
	}
	if parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return parameters{}, fmt.Errorf("%w: version", ErrHash)
	}
	var p parameters
	_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.lanes)
	if err != nil || fmt.Sprintf("m=%d,t=%d,p=%d", p.memory, p.time, p.lanes) != parts[3] {
		return parameters{}, fmt.Errorf("%w: parameters", ErrHash)
	}
	if p.salt, err = decode(parts[4], 8); err != nil {
		return parameters{}, err
	}
	if p.key, err = decode(parts[5], 16); err != nil {
		return parameters{}, err
	}
	return p, p.check()
}

func decode(s string, least int) ([]byte, error) {
	raw, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil || len(raw) < least || len(raw) > maxBytes {
		return nil, fmt.Errorf("%w: salt or key", ErrHash)
	}
	return raw, nil
}

func (p parameters) check() error {
	switch {
	case p.time < 1 || p.time > maxTime:
		return fmt.Errorf("%w: t is not within 1 to %d", ErrHash, maxTime)
	case p.lanes < 1 || p.lanes > maxLanes:
		return fmt.Errorf("%w: p is not within 1 to %d", ErrHash, maxLanes)
	case p.memory < 8*uint32(p.lanes) || p.memory > maxMemory:
		return fmt.Errorf("%w: m is not within 8p to %d KiB", ErrHash, maxMemory)
	}
	return nil
}

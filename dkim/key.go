package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Algorithm is a signature algorithm, as the tag a= names it.
type Algorithm string

const (
	// RSASHA256 with keys of 2,048 bits (RFC 8301).
	RSASHA256 Algorithm = "rsa-sha256"
	// Ed25519SHA256 is RFC 8463. Not every verifier knows it, so it goes beside
	// an RSA key.
	Ed25519SHA256 Algorithm = "ed25519-sha256"
)

// Key signs for one domain under one selector.
type Key struct {
	Domain   mail.Domain
	Selector string
	// Signer holds an RSA or Ed25519 private key.
	Signer crypto.Signer
}

// Name is where the public key is published (RFC 6376 section 3.6.2.1).
func (k Key) Name() string { return k.Selector + "._domainkey." + string(k.Domain) }

// Algorithm of the key; empty when there is none for its type.
func (k Key) Algorithm() Algorithm {
	if k.Signer == nil {
		return ""
	}
	switch k.Signer.Public().(type) {
	case *rsa.PublicKey:
		return RSASHA256
	case ed25519.PublicKey:
		return Ed25519SHA256
	}
	return ""
}

// Errors of keys and key files.
var (
	// ErrKeyFile: the file holds no private key that can be used.
	ErrKeyFile = errors.New("no usable private key")
	// ErrPermissions: others than the owner and the group may use the file.
	ErrPermissions = errors.New("every user of this host can read or change it")
	// ErrWeakKey: RSA below 1,024 bits, which verifiers ignore (RFC 8301
	// section 3.2).
	ErrWeakKey = errors.New("RSA key shorter than 1024 bits")
	// ErrKey: domain, selector or type of the key is not what DKIM knows.
	ErrKey = errors.New("invalid key")
)

const (
	minBits  = 1024
	goodBits = 2048
	// maxKeyFile is far above the largest key.
	maxKeyFile = 64 << 10
)

// LoadKey reads a private key from a PEM file: PKCS #8, or PKCS #1 for RSA. It
// refuses files that every user may read or change.
func LoadKey(path string) (crypto.Signer, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("key file: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxKeyFile:
		return nil, fmt.Errorf("key file %s: %w: not a small regular file", path, ErrKeyFile)
	case info.Mode().Perm()&0o007 != 0:
		return nil, fmt.Errorf("key file %s has mode %04o: %w: run chmod o-rwx on it", path, info.Mode().Perm(), ErrPermissions)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	key, err := ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}

// ParseKey reads the first private key of a PEM text.
func ParseKey(text []byte) (crypto.Signer, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, fmt.Errorf("%w: no PEM block with a private key", ErrKeyFile)
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		key, err := parseBlock(block)
		if err != nil {
			return nil, err
		}
		return key, checkStrength(key)
	}
}

func parseBlock(block *pem.Block) (crypto.Signer, error) {
	switch block.Type {
	case "RSA PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, fmt.Errorf("%w: it is encrypted", ErrKeyFile)
		}
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: malformed PKCS #1", ErrKeyFile)
		}
		return key, nil
	case "PRIVATE KEY":
		return parsePKCS8(block.Bytes)
	}
	return nil, fmt.Errorf("%w: PEM type %q", ErrKeyFile, block.Type)
}

func parsePKCS8(der []byte) (crypto.Signer, error) {
	// The library's errors may quote the file; ours do not.
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: malformed PKCS #8", ErrKeyFile)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("%w: neither RSA nor Ed25519", ErrKeyFile)
}

func checkStrength(key crypto.Signer) error {
	if public, ok := key.Public().(*rsa.PublicKey); ok && public.N.BitLen() < minBits {
		return fmt.Errorf("%w: %d", ErrWeakKey, public.N.BitLen())
	}
	return nil
}

// Warning says in words what is not good about a key; empty for a good one.
func (k Key) Warning() string {
	if k.Signer == nil {
		return ""
	}
	if public, ok := k.Signer.Public().(*rsa.PublicKey); ok && public.N.BitLen() < goodBits {
		return fmt.Sprintf("RSA key of %d bits for %s; use %d", public.N.BitLen(), k.Name(), goodBits)
	}
	return ""
}

// GenerateKey makes a private key: RSA of 2,048 bits, or Ed25519.
func GenerateKey(algorithm Algorithm) (crypto.Signer, error) {
	switch algorithm {
	case RSASHA256:
		key, err := rsa.GenerateKey(rand.Reader, goodBits)
		if err != nil {
			return nil, fmt.Errorf("RSA key: %w", err)
		}
		return key, nil
	case Ed25519SHA256:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("Ed25519 key: %w", err)
		}
		return key, nil
	}
	return nil, fmt.Errorf("%w: algorithm %q is not %s or %s", ErrKey, algorithm, RSASHA256, Ed25519SHA256)
}

// EncodeKey writes a private key as PKCS #8 in PEM, as LoadKey reads it. The
// file needs mode 0600 or 0640.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// check reports what keeps k from signing.
func (k Key) check() error {
	if k.Algorithm() == "" {
		return fmt.Errorf("%w: %s: neither RSA nor Ed25519", ErrKey, k.Name())
	}
	if domain, err := mail.ParseDomain(string(k.Domain)); err != nil || domain != k.Domain || strings.HasPrefix(string(domain), "[") {
		return fmt.Errorf("%w: domain %q", ErrKey, k.Domain)
	}
	// A selector is one or more labels (RFC 6376 section 3.1).
	if selector, err := mail.ParseDomain(k.Selector); err != nil || string(selector) != strings.ToLower(k.Selector) || strings.HasPrefix(k.Selector, "[") {
		return fmt.Errorf("%w: selector %q of %s", ErrKey, k.Selector, k.Domain)
	}
	if err := checkStrength(k.Signer); err != nil {
		return fmt.Errorf("%s: %w", k.Name(), err)
	}
	return nil
}

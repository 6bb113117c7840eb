package dkim

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Options of a Signer.
type Options struct {
	// Keys to sign with. A domain may have several, such as one of RSA and one
	// of Ed25519: each of them signs.
	Keys []Key
	// Parallel bounds the RSA operations at one time, which take most of a
	// signature's time; zero for GOMAXPROCS.
	Parallel int
	// Now is the clock of the tag t=; nil for time.Now.
	Now func() time.Time
}

// Signer signs messages. Its methods may be called from any goroutine.
type Signer struct {
	keys  map[mail.Domain][]Key
	names []signedName
	// slots holds a place for each RSA operation that may run.
	slots chan struct{}
	now   func() time.Time
}

// NewSigner checks the keys.
func NewSigner(options Options) (*Signer, error) {
	s := &Signer{keys: make(map[mail.Domain][]Key), names: signedNames(), now: options.Now}
	if s.now == nil {
		s.now = time.Now
	}
	parallel := options.Parallel
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	s.slots = make(chan struct{}, parallel)
	published := make(map[string]bool)
	for _, key := range options.Keys {
		if err := key.check(); err != nil {
			return nil, err
		}
		name := strings.ToLower(key.Name())
		if published[name] {
			return nil, fmt.Errorf("%w: two keys for %s", ErrKey, name)
		}
		published[name] = true
		s.keys[key.Domain] = append(s.keys[key.Domain], key)
	}
	return s, nil
}

// Keys returns the keys that sign mail from a domain: its own, else those of
// the nearest parent up to the organisational domain, which align with it under
// DMARC's relaxed mode (RFC 7489 section 3.1.1), else those of the fallback
// domain, found the same way. None where neither has a key.
func (s *Signer) Keys(from, fallback mail.Domain) []Key {
	if keys := s.aligned(from); len(keys) > 0 {
		return keys
	}
	return s.aligned(fallback)
}

func (s *Signer) aligned(domain mail.Domain) []Key {
	if keys := s.keys[domain]; len(keys) > 0 || domain == "" {
		return keys
	}
	organisation, err := publicsuffix.EffectiveTLDPlusOne(string(domain))
	if err != nil {
		return nil
	}
	for domain != mail.Domain(organisation) {
		_, parent, found := strings.Cut(string(domain), ".")
		if !found {
			return nil
		}
		domain = mail.Domain(parent)
		if keys := s.keys[domain]; len(keys) > 0 {
			return keys
		}
	}
	return nil
}

// Aligns reports whether the keys that sign mail from a domain align with it
// under DMARC's relaxed mode: those of the fallback domain may have the same
// organisational domain.
func (s *Signer) Aligns(from, fallback mail.Domain) bool {
	if len(s.aligned(from)) > 0 {
		return true
	}
	if len(s.aligned(fallback)) == 0 {
		return false
	}
	organisation, err := publicsuffix.EffectiveTLDPlusOne(string(from))
	other, otherErr := publicsuffix.EffectiveTLDPlusOne(string(fallback))
	return err == nil && otherErr == nil && organisation == other
}

// Sign returns a DKIM-Signature header field for each key of from or else of
// fallback, each ending in CRLF, to go before message; nil when there is no
// key. The message has CRLF line ends and is not changed. An error that wraps
// ErrMessage lies in the message; others are the context's or the key's.
func (s *Signer) Sign(ctx context.Context, from, fallback mail.Domain, message []byte) ([]byte, error) {
	keys := s.Keys(from, fallback)
	if len(keys) == 0 {
		return nil, nil
	}
	fields, body, err := parse(message)
	if err != nil {
		return nil, err
	}
	chosen := selectFields(fields, s.names)
	if len(chosen.fields) == 0 || chosen.fields[0].name != "from" {
		return nil, fmt.Errorf("%w: it has no From field", ErrMessage)
	}
	var canonical []byte
	for _, f := range chosen.fields {
		canonical = appendRelaxedField(canonical, f)
	}
	bodyHash := hashBody(body)
	var headers []byte
	for _, key := range keys {
		signature, err := s.signWith(ctx, key, unsigned(key, s.now(), chosen.names, bodyHash), canonical)
		if err != nil {
			return nil, err
		}
		headers = append(headers, signature...)
	}
	return headers, nil
}

// signWith makes the signature over the canonical fields and the signature's
// own field, the latter without its value and final CRLF (RFC 6376 section
// 3.7).
func (s *Signer) signWith(ctx context.Context, key Key, unsigned, canonical []byte) ([]byte, error) {
	own, err := parseField(unsigned)
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	hash.Write(canonical)
	relaxed := appendRelaxedField(nil, own)
	hash.Write(relaxed[:len(relaxed)-2])
	signature, err := s.operate(ctx, key, hash.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("signature for %s: %w", key.Name(), err)
	}
	return signed(unsigned, signature), nil
}

// operate runs the private key's operation, that of RSA within the bound.
func (s *Signer) operate(ctx context.Context, key Key, digest []byte) ([]byte, error) {
	if key.Algorithm() == Ed25519SHA256 {
		// RFC 8463 section 3: the digest is what is signed, not hashed again.
		return key.Signer.Sign(rand.Reader, digest, crypto.Hash(0))
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return key.Signer.Sign(rand.Reader, digest, crypto.SHA256)
}

package dane

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// Certificate usages, selectors and matching types that mail knows (RFC 7671
// section 2, RFC 7672 section 3.1).
const (
	UsageTrustAnchor uint8 = 2
	UsageEndEntity   uint8 = 3

	SelectorCertificate uint8 = 0
	SelectorPublicKey   uint8 = 1

	MatchingFull   uint8 = 0
	MatchingSHA256 uint8 = 1
	MatchingSHA512 uint8 = 2
)

// ErrUnusable is wrapped by every error that says why a record cannot be used.
// A host whose records are all unusable still promises to encrypt (RFC 7672
// section 2.2).
var ErrUnusable = errors.New("unusable TLSA record")

// Record is the data of one TLSA record (RFC 6698 section 2.1).
type Record struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// FromRR reads a record as the DNS library gives it. The error wraps
// ErrUnusable; the record then has no data.
func FromRR(rr *dns.TLSA) (Record, error) {
	r := Record{Usage: rr.Usage, Selector: rr.Selector, Matching: rr.MatchingType}
	data, err := hex.DecodeString(rr.Certificate)
	if err != nil {
		return r, fmt.Errorf("%w: data is not hexadecimal", ErrUnusable)
	}
	r.Data = data
	return r, nil
}

// String is the presentation format of RFC 6698 section 2.2.
func (r Record) String() string {
	return fmt.Sprintf("%d %d %d %x", r.Usage, r.Selector, r.Matching, r.Data)
}

// Check says why a record cannot be used between mail servers: usages 0 and 1
// name authorities that nobody agreed on (RFC 7672 section 3.1.3), anything
// else unknown has no meaning yet. The error wraps ErrUnusable.
func (r Record) Check() error {
	switch {
	case r.Usage != UsageTrustAnchor && r.Usage != UsageEndEntity:
		return fmt.Errorf("%w: certificate usage %d", ErrUnusable, r.Usage)
	case r.Selector > SelectorPublicKey:
		return fmt.Errorf("%w: selector %d", ErrUnusable, r.Selector)
	}
	return r.checkData()
}

func (r Record) checkData() error {
	want := 0
	switch r.Matching {
	case MatchingFull:
		return r.checkFull()
	case MatchingSHA256:
		want = sha256.Size
	case MatchingSHA512:
		want = sha512.Size
	default:
		return fmt.Errorf("%w: matching type %d", ErrUnusable, r.Matching)
	}
	if len(r.Data) != want {
		return fmt.Errorf("%w: digest of %d octets, not %d", ErrUnusable, len(r.Data), want)
	}
	return nil
}

// checkFull parses what a record holds in full: garbage matches nothing, and
// would turn a promise to encrypt into one that cannot be kept.
func (r Record) checkFull() error {
	var err error
	if r.Selector == SelectorCertificate {
		_, err = x509.ParseCertificate(r.Data)
	} else {
		_, err = x509.ParsePKIXPublicKey(r.Data)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return nil
}

// matches reports whether the record stands for the certificate.
func (r Record) matches(certificate *x509.Certificate) bool {
	subject := certificate.Raw
	if r.Selector == SelectorPublicKey {
		subject = certificate.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case MatchingSHA256:
		sum := sha256.Sum256(subject)
		return string(sum[:]) == string(r.Data)
	case MatchingSHA512:
		sum := sha512.Sum512(subject)
		return string(sum[:]) == string(r.Data)
	}
	return string(subject) == string(r.Data)
}

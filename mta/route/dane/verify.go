package dane

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Causes that the errors of Verify wrap, beside those of crypto/x509.
var (
	// ErrNoCertificate: the server showed none.
	ErrNoCertificate = errors.New("server showed no certificate")
	// ErrMismatch: no TLSA record stands for the certificate or an authority
	// above it.
	ErrMismatch = errors.New("certificate matches no TLSA record")
)

// Verify judges the certificates that a server showed, its own first, at a
// time. Where a record names the server's own certificate or key, neither name
// nor dates count (RFC 7671 section 5.1). Below a trust anchor the chain, the
// dates and the names must be right (section 5.2). A policy without usable
// records asks for nothing.
func (p *Policy) Verify(chain []*x509.Certificate, now time.Time) error {
	if !p.Authenticates() {
		return nil
	}
	if len(chain) == 0 {
		return ErrNoCertificate
	}
	failure := ErrMismatch
	for _, r := range p.usable {
		err := p.satisfies(r, chain, now)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrMismatch) {
			failure = err // says more
		}
	}
	return failure
}

// satisfies reports by nil that the chain is what r asks for.
func (p *Policy) satisfies(r Record, chain []*x509.Certificate, now time.Time) error {
	if r.Usage == UsageTrustAnchor {
		return p.below(r, chain, now)
	}
	if !r.matches(chain[0]) {
		return ErrMismatch
	}
	return nil
}

// below checks a chain that must end at the trust anchor of r.
func (p *Policy) below(r Record, chain []*x509.Certificate, now time.Time) error {
	anchors, err := r.anchors(chain)
	if err != nil {
		return err
	}
	failure := ErrMismatch
	for _, anchor := range anchors {
		if err := verifyBelow(anchor, chain, now); err != nil {
			failure = fmt.Errorf("below the trust anchor: %w", err)
			continue
		}
		return p.checkNames(chain[0])
	}
	return failure
}

// anchors finds what the record makes trusted: certificates of the chain above
// the server's own that it matches, the certificate that it holds itself, or,
// where it holds a bare key, whatever that key has signed (RFC 7671 section
// 5.2.2 and 5.2.3).
func (r Record) anchors(chain []*x509.Certificate) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	for _, c := range chain[1:] {
		if r.matches(c) {
			found = append(found, c)
		}
	}
	if r.Matching != MatchingFull || len(found) > 0 {
		return found, nil
	}
	if r.Selector == SelectorCertificate {
		anchor, err := x509.ParseCertificate(r.Data)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
		}
		return append(found, anchor), nil
	}
	key, err := x509.ParsePKIXPublicKey(r.Data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	signer := &x509.Certificate{PublicKey: key}
	for _, c := range chain {
		if signedBy(c, signer) {
			found = append(found, c)
		}
	}
	return found, nil
}

// signedBy reports whether the key of signer signed c. What crypto/x509 would
// not take in a chain, it does not take here.
func signedBy(c, signer *x509.Certificate) bool {
	switch c.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
		return false
	}
	return signer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

func verifyBelow(anchor *x509.Certificate, chain []*x509.Certificate, now time.Time) error {
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now}
	options.Roots.AddCert(anchor)
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(options)
	return err
}

// checkNames demands one of the policy's names in the certificate; the common
// name counts where there is no other (RFC 7672 section 3.2.3).
func (p *Policy) checkNames(leaf *x509.Certificate) error {
	named := leaf
	if len(leaf.DNSNames) == 0 {
		named = &x509.Certificate{DNSNames: []string{leaf.Subject.CommonName}}
	}
	for _, name := range p.names {
		if named.VerifyHostname(name) == nil {
			return nil
		}
	}
	return x509.HostnameError{Certificate: leaf, Host: p.base}
}

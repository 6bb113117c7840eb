package testmx

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"
)

// SelfSigned makes a certificate for the names and returns a configuration
// that serves it, and a pool that trusts it.
func SelfSigned(names ...string) (*tls.Config, *x509.CertPool, error) {
	authority, err := newAuthority(nil, names)
	if err != nil {
		return nil, nil, err
	}
	return Serving(authority.served()), authority.Pool(), nil
}

// Authority signs certificates.
type Authority struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	parent      *Authority
}

// NewAuthority makes one that signs itself.
func NewAuthority() (*Authority, error) { return newAuthority(nil, nil) }

// Intermediate makes an authority below a.
func (a *Authority) Intermediate() (*Authority, error) { return newAuthority(a, nil) }

// Leaf says what certificate Authority.Issue makes.
type Leaf struct {
	// Names are the DNS names; CommonName is written beside them.
	Names      []string
	CommonName string
	// Expired ends the certificate a day ago.
	Expired bool
}

// Issue makes a certificate, with every authority up to the root in its chain.
func (a *Authority) Issue(leaf Leaf) (tls.Certificate, error) {
	template := newTemplate(leaf.Names)
	template.Subject.CommonName = leaf.CommonName
	template.IsCA = false
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if leaf.Expired {
		template.NotBefore = time.Now().Add(-48 * time.Hour)
		template.NotAfter = time.Now().Add(-24 * time.Hour)
	}
	signed, err := sign(template, a)
	if err != nil {
		return tls.Certificate{}, err
	}
	return signed.served(), nil
}

// Pool trusts the authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	return pool
}

// Serving returns a configuration that serves the certificate.
func Serving(certificate tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{certificate}}
}

// served is the certificate with its key and all that signed it.
func (a *Authority) served() tls.Certificate {
	certificate := tls.Certificate{PrivateKey: a.key, Leaf: a.Certificate}
	for ; a != nil; a = a.parent {
		certificate.Certificate = append(certificate.Certificate, a.Certificate.Raw)
	}
	return certificate
}

func newAuthority(parent *Authority, names []string) (*Authority, error) {
	return sign(newTemplate(names), parent)
}

func newTemplate(names []string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "postrider test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(365 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		DNSNames:              names,
	}
}

// sign makes a certificate with a key of its own, signed by parent, or by
// itself where there is none.
func sign(template *x509.Certificate, parent *Authority) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	issuer, issuerKey := template, key
	if parent != nil {
		issuer, issuerKey = parent.Certificate, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{Certificate: certificate, key: key, parent: parent}, nil
}

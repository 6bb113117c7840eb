package smtpclient

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
)

// signed is a certificate with its key.
type signed struct {
	der  []byte
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate after a template, by an issuer or by itself.
func issue(t *testing.T, template *x509.Certificate, by *signed) *signed {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer := &signed{cert: template, key: key}
	if by != nil {
		issuer = by
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.cert, &key.PublicKey, issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &signed{der, cert, key}
}

// template is that of a good server certificate, or of a good authority's.
func template(authority bool) *x509.Certificate {
	now := time.Now()
	out := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		Subject: pkix.Name{CommonName: "mx.test"}, BasicConstraintsValid: true, IsCA: authority,
	}
	if authority {
		out.Subject.CommonName = "an authority"
		out.KeyUsage = x509.KeyUsageCertSign
		return out
	}
	out.DNSNames = []string{"mx.test"}
	out.KeyUsage, out.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return out
}

// TestWrongCertificates: none of them counts under a floor that verifies, and
// each is better than nothing under the others.
func TestWrongCertificates(t *testing.T) {
	root := issue(t, template(true), nil)
	middle := issue(t, template(true), root)
	leaf := func(change func(*x509.Certificate), chain ...*signed) tls.Certificate {
		made := template(false)
		if change != nil {
			change(made)
		}
		by := root
		if len(chain) > 0 {
			by = chain[0]
		}
		s := issue(t, made, by)
		out := tls.Certificate{Certificate: [][]byte{s.der}, PrivateKey: s.key}
		for _, c := range chain {
			out.Certificate = append(out.Certificate, c.der)
		}
		return out
	}
	unchained := leaf(nil, middle)
	unchained.Certificate = unchained.Certificate[:1]
	notAnAuthority := issue(t, template(false), root)
	stranger := issue(t, template(true), nil)
	constrained := template(true)
	constrained.PermittedDNSDomains, constrained.PermittedDNSDomainsCritical = []string{"other.test"}, true
	for name, test := range map[string]struct {
		certificate tls.Certificate
		good        bool
	}{
		"good":               {leaf(nil), true},
		"good, chained":      {leaf(nil, middle), true},
		"good, by wildcard":  {leaf(func(c *x509.Certificate) { c.DNSNames = []string{"*.test"} }), true},
		"expired":            {leaf(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), false},
		"not valid yet":      {leaf(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), false},
		"other name":         {leaf(func(c *x509.Certificate) { c.DNSNames = []string{"mx.other.test"} }), false},
		"only a common name": {leaf(func(c *x509.Certificate) { c.DNSNames = nil }), false},
		"wildcard too high":  {leaf(func(c *x509.Certificate) { c.DNSNames = []string{"*"} }), false},
		"wildcard too deep":  {leaf(func(c *x509.Certificate) { c.DNSNames = []string{"*.mx.test"} }), false},
		"only an address":    {leaf(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, []net.IP{net.IPv4(127, 0, 0, 1)} }), false},
		"NUL in the name":    {leaf(func(c *x509.Certificate) { c.DNSNames = []string{"mx.test\x00.other.test"} }), false},
		"for clients":        {leaf(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), false},
		"for code":           {leaf(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }), false},
		"chain is missing":   {unchained, false},
		"by a leaf":          {leaf(nil, notAnAuthority), false},
		"by a stranger":      {leaf(nil, stranger), false},
		"by itself":          {selfSigned(t), false},
		"expired authority":  {leaf(nil, issue(t, expired(template(true)), root)), false},
		"beyond constraints": {leaf(nil, issue(t, constrained, root)), false},
	} {
		t.Run(name, func(t *testing.T) {
			server, addr := testmx.Start(t, testmx.Options{TLSConfig: &tls.Config{Certificates: []tls.Certificate{test.certificate}}})
			pool := x509.NewCertPool()
			pool.AddCert(root.cert)
			for _, floor := range []mail.TLSFloor{mail.TLSOpportunistic, mail.TLSEncrypted, mail.TLSVerified} {
				c, err := tryDial(t, addr, Options{TLS: floor, TLSConfig: &tls.Config{RootCAs: pool}})
				if floor == mail.TLSVerified && !test.good {
					if e := failure(t, err, STARTTLS); !errors.Is(e, ErrHandshake) || e.Scope != mail.ScopeSite {
						t.Errorf("%+v", e)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", floor, err)
				}
				send(t, c, transactionTo(t, "a@one.example"))
			}
			for _, m := range server.Messages() {
				if m.TLS == nil {
					t.Error("sent in the clear")
				}
			}
		})
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	s := issue(t, template(false), nil)
	return tls.Certificate{Certificate: [][]byte{s.der}, PrivateKey: s.key}
}

func expired(c *x509.Certificate) *x509.Certificate {
	c.NotAfter = time.Now().Add(-time.Minute)
	return c
}

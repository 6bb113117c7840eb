package dane_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route/dane"
)

// chainOf makes a root, an authority below it and a server's certificate, and
// returns them as the server shows them: its own first, the root last.
func chainOf(t testing.TB, leaf testmx.Leaf) []*x509.Certificate {
	t.Helper()
	root, err := testmx.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	middle, err := root.Intermediate()
	if err != nil {
		t.Fatal(err)
	}
	issued, err := middle.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, issued)
}

func parse(t testing.TB, issued tls.Certificate) []*x509.Certificate {
	t.Helper()
	var chain []*x509.Certificate
	for _, der := range issued.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	return chain
}

// record stands for a certificate.
func record(usage, selector, matching uint8, c *x509.Certificate) dane.Record {
	data := c.Raw
	if selector == dane.SelectorPublicKey {
		data = c.RawSubjectPublicKeyInfo
	}
	switch matching {
	case dane.MatchingSHA256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case dane.MatchingSHA512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return dane.Record{Usage: usage, Selector: selector, Matching: matching, Data: data}
}

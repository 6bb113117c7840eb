package daemon

import (
	"crypto/tls"
	"testing"

	"github.com/postrider-mta/postrider/daemon/config"
)

const withTLS = `
hostname = "mail.example.com"
data_dir = "data"
[[listener]]
name = "submission"
address = "127.0.0.1:0"
tls = "starttls"
certificate = "a.crt"
key = "a.key"
`

// TestCertificates proves that handshakes take what the last reload loaded,
// and that a listener that is not named keeps its own.
func TestCertificates(t *testing.T) {
	s := newSite(t, withTLS)
	s.certificate("a", "a.example.com")
	s.certificate("b", "b.example.com")
	var all certificates
	load := func() {
		t.Helper()
		loaded, err := loadCertificates(s.config())
		if err != nil {
			t.Fatal(err)
		}
		all.replace(loaded)
	}
	served := all.server("submission")
	if served.MinVersion != tls.VersionTLS12 {
		t.Errorf("takes TLS version %x", served.MinVersion)
	}
	name := func() string {
		c, err := served.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.DNSNames[0]
	}
	load()
	if got := name(); got != "a.example.com" {
		t.Error(got)
	}
	s.write("postrider.toml", replaced(withTLS, "a.crt", "b.crt", "a.key", "b.key"))
	load()
	if got := name(); got != "b.example.com" {
		t.Error(got)
	}
	all.replace(map[string]*tls.Certificate{})
	if got := name(); got != "b.example.com" {
		t.Errorf("forgot a listener that goes on: %s", got)
	}
	_, err := all.server("other").GetCertificate(nil)
	contains(t, err, "listener other has no certificate")
}

func TestCertificateErrors(t *testing.T) {
	s := newSite(t, withTLS)
	s.certificate("a", "a.example.com")
	s.certificate("b", "b.example.com")
	c := s.config()
	c.Listeners[0].Key = config.SecretFile(s.path("b.key"))
	_, err := loadCertificates(c)
	contains(t, err, "listener submission: tls: private key does not match")
}

package certificate_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/tracking/certificate"
)

// pair writes a certificate for names; its serial number says which it is.
func pair(t *testing.T, dir string, serial int64, key crypto.Signer, names ...string) certificate.Pair {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(dir, big.NewInt(serial).String())
	for file, block := range map[string]*pem.Block{base + ".crt": {Type: "CERTIFICATE", Bytes: der}, base + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate.Pair{Certificate: base + ".crt", Key: base + ".key"}
}

func elliptical(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestFiles proves over real sockets which certificate is shown to whom, and
// that another set is shown from the next handshake on.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set, err := certificate.Load([]certificate.Pair{
		pair(t, dir, 1, elliptical(t), "t.shop.example", "www.shop.example"),
		pair(t, dir, 2, elliptical(t), "*.bank.example"),
		pair(t, dir, 3, old, "t.shop.example"),
	})
	if err != nil {
		t.Fatal(err)
	}
	files := &certificate.Files{}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := tls.NewListener(inner, files.TLSConfig())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	defer func() { listener.Close(); <-done }()
	shown := func(name string, suites ...uint16) int64 {
		config := &tls.Config{ServerName: name, InsecureSkipVerify: true, CipherSuites: suites}
		if len(suites) > 0 {
			config.MaxVersion = tls.VersionTLS12
		}
		c, err := tls.Dial("tcp", inner.Addr().String(), config)
		if err != nil {
			return 0
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if shown("t.shop.example") != 0 {
		t.Error("something is shown before anything was loaded")
	}
	files.Replace(set)
	for name, want := range map[string]int64{
		"t.shop.example": 1, "T.SHOP.example": 1, "www.shop.example": 1, "t.bank.example": 2, "bank.example": 0, "x.t.bank.example": 0,
		"other.example": 0, "127.0.0.1": 1, // an address is no server name (RFC 6066)
	} {
		if got := shown(name); got != want {
			t.Errorf("%s: %d instead of %d", name, got, want)
		}
	}
	if got := shown("t.shop.example", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256); got != 3 {
		t.Errorf("to a client of RSA alone: %d", got)
	}
	other, err := certificate.Load([]certificate.Pair{pair(t, dir, 4, elliptical(t), "t.shop.example")})
	if err != nil {
		t.Fatal(err)
	}
	files.Replace(other)
	if shown("t.shop.example") != 4 || shown("t.bank.example") != 0 {
		t.Error("the old set is shown")
	}
}

func TestLoadFails(t *testing.T) {
	dir := t.TempDir()
	a, b := pair(t, dir, 1, elliptical(t), "a.example"), pair(t, dir, 2, elliptical(t), "b.example")
	if _, err := certificate.Load([]certificate.Pair{a, {Certificate: a.Certificate, Key: b.Key}}); err == nil || !strings.Contains(err.Error(), "private key does not match") {
		t.Errorf("got %v", err)
	}
	if _, err := certificate.Load([]certificate.Pair{{Certificate: filepath.Join(dir, "none"), Key: a.Key}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

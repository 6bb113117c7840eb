package dkim_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/dkim"
)

func writeKey(t *testing.T, mode os.FileMode, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, text, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGeneratedKeysLoad(t *testing.T) {
	for _, algorithm := range []dkim.Algorithm{dkim.RSASHA256, dkim.Ed25519SHA256} {
		key, err := dkim.GenerateKey(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		text, err := dkim.EncodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []os.FileMode{0o400, 0o600, 0o640} {
			loaded, err := dkim.LoadKey(writeKey(t, mode, text))
			if err != nil {
				t.Fatal(err)
			}
			got := dkim.Key{Domain: "example.com", Selector: "s", Signer: loaded}
			if got.Algorithm() != algorithm || got.Warning() != "" {
				t.Errorf("%s loads as %s with warning %q", algorithm, got.Algorithm(), got.Warning())
			}
		}
		if _, err := dkim.LoadKey(writeKey(t, 0o644, text)); !errors.Is(err, dkim.ErrPermissions) || !strings.Contains(err.Error(), "0644") {
			t.Errorf("world-readable: %v", err)
		}
	}
	if _, err := dkim.GenerateKey("rsa-sha1"); !errors.Is(err, dkim.ErrKey) {
		t.Errorf("rsa-sha1: %v", err)
	}
}

func TestRSAStrength(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	for bits, want := range map[int]error{512: dkim.ErrWeakKey, 1024: nil} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Skip("this toolchain makes no weak keys to test with:", err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
		signer, err := dkim.ParseKey(text)
		if !errors.Is(err, want) {
			t.Errorf("%d bits: %v, want %v", bits, err, want)
		}
		if warning := (dkim.Key{Domain: "a.example", Selector: "s", Signer: signer}).Warning(); err == nil && !strings.Contains(warning, "2048") {
			t.Errorf("%d bits: warning %q", bits, warning)
		}
	}
}

func TestUnusableKeyFiles(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, octets []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: octets})
	}
	for name, text := range map[string][]byte{
		"empty":       {},
		"no PEM":      []byte("secret-material"),
		"other block": block("CERTIFICATE", []byte("x")),
		"ECDSA":       block("PRIVATE KEY", der),
		"encrypted":   block("ENCRYPTED PRIVATE KEY", der),
		"PKCS #1":     block("RSA PRIVATE KEY", []byte("secret-material")),
		"PKCS #8":     block("PRIVATE KEY", []byte("secret-material")),
		"too large":   make([]byte, 100<<10),
	} {
		_, err := dkim.LoadKey(writeKey(t, 0o600, text))
		if !errors.Is(err, dkim.ErrKeyFile) || strings.Contains(err.Error(), "secret-material") {
			t.Errorf("%s: %v, want ErrKeyFile", name, err)
		}
	}
	if _, err := dkim.LoadKey(t.TempDir()); !errors.Is(err, dkim.ErrKeyFile) {
		t.Errorf("folder: %v", err)
	}
	if _, err := dkim.LoadKey(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := dkim.ParseKey(text); err == nil && key == nil {
			t.Error("neither key nor error")
		}
	})
}

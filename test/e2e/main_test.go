// Package e2e proves the daemon from the outside: every test makes a world of
// its own around the real binary, built with the race detector, and looks at
// what mail exchangers, readers and operators see.
package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/postrider-mta/postrider/internal/testmx"
)

// suite is what all tests share: the program and the certificate that it
// trusts. TestMain fills it before any test runs, and nobody writes it after.
var suite struct {
	binary      string
	certificate *tls.Config
	authority   *x509.CertPool
	// certificateFile and keyFile are the same certificate as PEM.
	certificateFile, keyFile string
}

// relayName is the name in the certificate.
const relayName = "relay.provider.example"

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "postrider-e2e-")
	if err == nil {
		err = prepare(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

func prepare(dir string) error {
	suite.binary = filepath.Join(dir, "postrider")
	build := exec.Command("go", "build", "-race", "-o", suite.binary, "github.com/postrider-mta/postrider/cmd/postrider")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w:\n%s", err, out)
	}
	return prepareCertificate(dir)
}

// prepareCertificate makes the certificate, and has the daemons trust it.
func prepareCertificate(dir string) error {
	var err error
	if suite.certificate, suite.authority, err = testmx.SelfSigned(relayName, "mail.sender.example"); err != nil {
		return err
	}
	pair := suite.certificate.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return err
	}
	suite.certificateFile, suite.keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if err := writePEM(suite.certificateFile, "CERTIFICATE", pair.Certificate[0]); err != nil {
		return err
	}
	if err := writePEM(suite.keyFile, "PRIVATE KEY", key); err != nil {
		return err
	}
	return os.Setenv("SSL_CERT_FILE", suite.certificateFile)
}

func writePEM(path, kind string, content []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600)
}

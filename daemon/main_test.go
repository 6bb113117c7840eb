package daemon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/daemon/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a folder with a configuration for a daemon that hurts nobody.
type site struct {
	t    *testing.T
	dir  string
	file string
}

// basic listens on free ports of loopback only.
const basic = `
hostname = "mail.example.com"
data_dir = "data"
[log]
level = "debug"
[[listener]]
name = "local"
address = "127.0.0.1:0"
[tracking]
listen = "127.0.0.1:0"
url = "http://t.example.com"
self_test = false
[admin]
http = "127.0.0.1:0"
`

func newSite(t *testing.T, text string) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{t: t, dir: dir, file: filepath.Join(dir, "postrider.toml")}
	s.write("postrider.toml", text)
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) config() *config.Config {
	s.t.Helper()
	c, err := config.Load(s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// daemon is one that has not begun.
func (s *site) daemon() (*daemon, *journal) {
	log := &journal{}
	return newDaemon(Options{ConfigFile: s.file, Version: "test", Log: log}, s.config()), log
}

// started is one that serves until the end of the test.
func (s *site) started() (*daemon, *journal) {
	s.t.Helper()
	d, log := s.daemon()
	if err := d.start(context.Background()); err != nil {
		s.t.Fatalf("start: %v (stop: %v)", err, d.stop())
	}
	s.t.Cleanup(func() {
		if err := d.stop(); err != nil {
			s.t.Errorf("stop: %v", err)
		}
	})
	return d, log
}

// certificate writes NAME.crt and NAME.key for a host name.
func (s *site) certificate(name, host string) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	s.write(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// journal collects a log.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
	news chan struct{}
}

var _ io.Writer = (*journal)(nil)

// Write adds to the log.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.news != nil {
		close(j.news)
		j.news = nil
	}
	return j.text.Write(p)
}

// String is the log so far.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// await waits until the log holds text.
func (j *journal) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		j.mu.Lock()
		if j.news == nil {
			j.news = make(chan struct{})
		}
		found, news := strings.Contains(j.text.String(), text), j.news
		j.mu.Unlock()
		if found {
			return
		}
		select {
		case <-news:
		case <-deadline:
			t.Fatalf("no %q in the log:\n%s", text, j)
		}
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func contains(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("error %v instead of one with %q", err, want)
	}
}

func (s *site) logging() config.Log { return config.Log{Level: "debug", Format: "text"} }

// replaced is text with pairs of old and new in it.
func replaced(text string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(text)
}

package certificate_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/internal/testacme"
	"github.com/postrider-mta/postrider/tracking/certificate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const day = 24 * time.Hour

// site is a tracker's two listeners with an authority that knows them.
type site struct {
	*testing.T
	authority *testacme.Server
	hosts     certificate.Hosts
	acme      *certificate.ACME
	registry  *prometheus.Registry
	folder    string
	tls       string
	plain     string
	log       lockedBuffer
}

type lockedBuffer struct {
	mutex sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.Buffer.String()
}

func newSite(t *testing.T, lifetime time.Duration) *site {
	authority, err := testacme.Start(lifetime)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{T: t, authority: authority, folder: filepath.Join(restlessFolder(t), "acme")}
	t.Cleanup(func() { authority.Close() })
	s.hosts.Set([]string{"https://t.shop.example", "https://t.bank.example:8443", "http://old.example", "https://192.0.2.1"})
	return s
}

// serve starts the listeners with what is in the folder, and returns what stops
// them.
func (s *site) serve(change func(*certificate.ACMEOptions)) (stop func()) {
	s.Helper()
	transport := &http.Transport{}
	s.registry = prometheus.NewRegistry()
	o := certificate.ACMEOptions{
		Hosts: &s.hosts, Folder: s.folder, Directory: s.authority.Directory(), TermsAccepted: true,
		Transport: transport, Logger: slog.New(slog.NewTextHandler(&s.log, nil)), Registerer: s.registry,
	}
	if change != nil {
		change(&o)
	}
	var err error
	if s.acme, err = certificate.NewACME(o); err != nil {
		s.Fatal(err)
	}
	quiet := slog.NewLogLogger(slog.DiscardHandler, 0)
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello "+r.Host) })
	overTLS := &http.Server{Handler: hello, TLSConfig: s.acme.TLSConfig(), ErrorLog: quiet}
	plain := &http.Server{Handler: s.acme.Plain(), ErrorLog: quiet}
	first, second := s.listen(), s.listen()
	var running sync.WaitGroup
	running.Go(func() { overTLS.ServeTLS(first, "", "") })
	running.Go(func() { plain.Serve(second) })
	s.tls, s.plain = first.Addr().String(), second.Addr().String()
	s.authority.SetTLS(s.tls)
	s.authority.SetHTTP(s.plain)
	stop = sync.OnceFunc(func() {
		overTLS.Close()
		plain.Close()
		running.Wait()
		transport.CloseIdleConnections()
	})
	s.Cleanup(stop)
	return stop
}

func (s *site) listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	return l
}

// handshake returns the serial number of the certificate that a host shows to a
// client who trusts the authority.
func (s *site) handshake(host string) (serial string, err error) {
	conn, err := tls.Dial("tcp", s.tls, &tls.Config{ServerName: host, RootCAs: s.authority.Roots()})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String(), nil
}

func (s *site) counter(name string) float64 {
	s.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "postrider_tracking_"+name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	s.Fatal("no metric", name)
	return 0
}

// TestIssue proves over real sockets that a configured host gets a certificate
// when it is first asked for, one for all that ask, by either challenge, and
// that it is still there after a restart.
func TestIssue(t *testing.T) {
	s := newSite(t, 90*day)
	stop := s.serve(nil)
	var asking sync.WaitGroup
	for range 5 {
		asking.Go(func() {
			if _, err := s.handshake("t.shop.example"); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	serial, err := s.handshake("T.Shop.Example")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.authority.Issued("t.shop.example"); n != 1 || s.authority.Validated("tls-alpn-01") != 1 {
		t.Errorf("%d issued, %d by TLS", n, s.authority.Validated("tls-alpn-01"))
	}
	s.authority.SetTLS("")
	if _, err := s.handshake("t.bank.example"); err != nil || s.authority.Validated("http-01") != 1 {
		t.Errorf("by plain HTTP: %v", err)
	}
	if s.counter("acme_certificates_total") != 2 || strings.Count(s.log.String(), "certificate issued") != 2 {
		t.Errorf("told:\n%s", s.log.String())
	}
	s.private()
	stop()
	s.serve(nil)
	if again, err := s.handshake("t.shop.example"); err != nil || again != serial {
		t.Errorf("after a restart %s instead of %s: %v", again, serial, err)
	}
	if s.authority.Issued("t.shop.example") != 1 || s.authority.Accounts() != 1 {
		t.Error("asked again after a restart")
	}
}

// private holds that keys are readable to the daemon alone.
func (s *site) private() {
	s.Helper()
	seen := 0
	err := filepath.WalkDir(s.folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			s.Errorf("%s has mode %v", path, info.Mode())
		}
		seen++
		return err
	})
	if err != nil || seen < 4 { // the folder, an account, two certificates
		s.Errorf("%d files, %v", seen, err)
	}
}

// TestOthersAreRefused proves that no name but that of a configured host makes
// anybody ask the authority, and that a reload changes which those are.
func TestOthersAreRefused(t *testing.T) {
	s := newSite(t, 90*day)
	s.serve(nil)
	names := []string{"other.example", "x.t.shop.example", "192.0.2.1", "", "localhost", "..", "t.shop.example.evil.example"}
	for _, name := range names {
		conn, err := tls.Dial("tcp", s.tls, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err == nil {
			conn.Close()
			t.Errorf("%q is served", name)
		}
		if s.authority.Asked(name) != 0 {
			t.Errorf("%q was asked for", name)
		}
	}
	if s.authority.Accounts() != 0 || s.counter("unknown_hosts_total") != float64(len(names)) {
		t.Errorf("%d accounts, %v counted", s.authority.Accounts(), s.counter("unknown_hosts_total"))
	}
	s.hosts.Set([]string{"https://other.example"})
	if _, err := s.handshake("other.example"); err != nil {
		t.Error(err)
	}
	if _, err := s.handshake("t.shop.example"); err == nil || s.authority.Asked("t.shop.example") != 0 {
		t.Error("a removed host is served")
	}
}

// TestFailuresPause proves that a host that cannot be validated is asked for a
// few times and then no more, while another one gets its certificate, that the
// log says so once, and that a restart does not begin anew.
func TestFailuresPause(t *testing.T) {
	s := newSite(t, 90*day)
	stop := s.serve(nil)
	s.authority.SetTLS("")
	s.authority.SetHTTP("")
	for range 5 {
		if _, err := s.handshake("t.shop.example"); err == nil {
			t.Fatal("a certificate without a challenge")
		}
	}
	if n := s.authority.Asked("t.shop.example"); n != 3 {
		t.Errorf("asked %d times", n)
	}
	if n := strings.Count(s.log.String(), "no certificate for a tracking domain"); n != 1 || s.counter("acme_failures_total") != 5 {
		t.Errorf("told %d times:\n%s", n, s.log.String())
	}
	s.authority.SetTLS(s.tls)
	if _, err := s.handshake("t.bank.example"); err != nil {
		t.Errorf("another host: %v", err)
	}
	stop()
	s.serve(nil)
	if _, err := s.handshake("t.shop.example"); err == nil || s.authority.Asked("t.shop.example") != 3 || s.counter("acme_orders_paused_total") != 1 {
		t.Errorf("a restart ends the pause: %v", err)
	}
}

// TestRenewal proves that a certificate is renewed in the background before it
// ends, and that a host which is configured no more is not.
func TestRenewal(t *testing.T) {
	s := newSite(t, 3*time.Second)
	s.serve(nil)
	for _, host := range []string{"t.shop.example", "t.bank.example"} {
		if _, err := s.handshake(host); err != nil {
			t.Fatal(err)
		}
	}
	first, _ := s.handshake("t.shop.example")
	s.hosts.Set([]string{"https://t.shop.example"})
	deadline := time.Now().Add(20 * time.Second)
	// After two renewals of the one, the other would have had its first.
	for s.authority.Issued("t.shop.example") < 3 {
		if time.Now().After(deadline) {
			t.Fatal("not renewed")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if second, err := s.handshake("t.shop.example"); err != nil || second == first {
		t.Errorf("%s, %v", second, err)
	}
	if n := s.authority.Asked("t.bank.example"); n != 1 {
		t.Errorf("a host that was taken away was ordered %d times", n)
	}
}

// restlessFolder is one that a renewal may still write to when the test is over:
// autocert cannot be stopped.
func restlessFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "certificate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 250 {
			if err = os.RemoveAll(dir); err == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Error(err)
	})
	return dir
}

// TestPlain proves where plain HTTP leads, and where not.
func TestPlain(t *testing.T) {
	s := newSite(t, 90*day)
	s.serve(nil)
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, test := range []struct {
		method, host, path string
		status             int
		location           string
	}{
		{"GET", "t.shop.example", "/c/abc?x=1", 301, "https://t.shop.example/c/abc?x=1"},
		{"HEAD", "T.SHOP.example.:80", "/", 301, "https://t.shop.example/"},
		{"GET", "t.bank.example", "/c/a%20b", 301, "https://t.bank.example:8443/c/a%20b"},
		{"GET", "old.example", "/c/abc", 301, "https://old.example/c/abc"},
		{"GET", "t.shop.example", "//evil.example/", 301, "https://t.shop.example//evil.example/"},
		{"POST", "t.shop.example", "/u/abc", 405, ""},
		{"GET", "evil.example", "/c/abc", 404, ""},
		{"GET", "", "/", 404, ""},
		{"GET", "evil.example", "/.well-known/acme-challenge/x", 403, ""},
		{"GET", "t.shop.example", "/.well-known/acme-challenge/x", 404, ""},
		{"GET", "t.shop.example", "/.well-known/acme-challenge/..%2f..%2facme_account+key", 404, ""},
		{"GET", "t.shop.example", "/.well-known/acme-challenge/t.shop.example", 404, ""},
	} {
		r, err := http.NewRequest(test.method, "http://"+s.plain+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = test.host
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != test.status || response.Header.Get("Location") != test.location || strings.Contains(string(body), "PRIVATE") {
			t.Errorf("%s %s%s: %d %s", test.method, test.host, test.path, response.StatusCode, response.Header.Get("Location"))
		}
	}
}

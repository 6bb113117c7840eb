package selftest_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/tracking/selftest"
	"github.com/postrider-mta/postrider/tracking/token"
)

// after runs the probes of one URL until the first has come back.
func after(t *testing.T, o selftest.Options, url string) selftest.State {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	domains, err := selftest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	domains.Set(true, []string{url})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- domains.Run(ctx) }()
	for domains.States()[0].Status == selftest.Untested {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return domains.States()[0]
}

// tracker answers probes as a tracker with these keys.
func tracker(keys *token.Keyring) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		proof, err := keys.Prove(strings.TrimPrefix(r.URL.Path, selftest.Path))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, proof)
	}
}

// TestFetch proves over real sockets what counts as an answer.
func TestFetch(t *testing.T) {
	keys, others := keyring(t), keyring(t)
	right := httptest.NewServer(tracker(keys))
	defer right.Close()
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing.Close()
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"the tracker": {tracker(keys), ""},
		"other keys":  {tracker(others), "not the tracker's answer: status 404"},
		"a redirect to it": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, right.URL+r.URL.Path, http.StatusFound)
		}, "status 302"},
		"a parked domain": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<h1>Buy me</h1>") }, "does not prove our keys"},
		"an echo":         {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path[len(selftest.Path):]) }, "does not prove our keys"},
		"without end": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.Write(make([]byte, 1024))
			}
		}, "does not prove our keys"},
	} {
		server := httptest.NewServer(test.answer)
		s := after(t, selftest.Options{Keys: keys}, server.URL)
		if !strings.Contains(s.Failure, test.want) || (s.Status == selftest.Working) != (test.want == "") {
			t.Errorf("%s: %+v", name, s)
		}
		if strings.Contains(s.Failure, selftest.Path) {
			t.Errorf("%s: the failure shows the token: %s", name, s.Failure)
		}
		server.Close()
	}
	if s := after(t, selftest.Options{Keys: keys}, "http://"+refusing.Addr().String()); !strings.Contains(s.Failure, "connection refused") {
		t.Errorf("%+v", s)
	}
}

// TestFetchVerifies proves over real TLS that the certificate is verified for
// the name, and that its end is known.
func TestFetchVerifies(t *testing.T) {
	keys := keyring(t)
	server := httptest.NewTLSServer(tracker(keys))
	defer server.Close()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	if s := after(t, selftest.Options{Keys: keys}, server.URL); !strings.Contains(s.Failure, "would not trust the certificate") {
		t.Errorf("%+v", s)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	s := after(t, selftest.Options{Keys: keys, Roots: roots}, server.URL)
	if s.Status != selftest.Working || !s.CertificateEnds.Equal(server.Certificate().NotAfter) {
		t.Errorf("%+v", s)
	}
	wrong := fmt.Sprintf("https://localhost:%d", server.Listener.Addr().(*net.TCPAddr).Port)
	if s := after(t, selftest.Options{Keys: keys, Roots: roots}, wrong); !strings.Contains(s.Failure, "certificate is valid for") {
		t.Errorf("%+v", s)
	}
}

// TestFetchResolves proves that the next name server is asked where one does
// not answer, and none where one says that there is no such name.
func TestFetchResolves(t *testing.T) {
	keys := keyring(t)
	server := httptest.NewServer(tracker(keys))
	defer server.Close()
	dns, err := testmx.StartDNS()
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	if err := dns.Add("t.shop.example. 60 IN A 127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	other, err := testmx.StartDNS()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	refusing, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing.Close()
	url := fmt.Sprintf("http://t.shop.example:%d", server.Listener.Addr().(*net.TCPAddr).Port)
	for _, test := range []struct {
		servers []string
		want    string
	}{
		{[]string{dns.Addr()}, ""},
		{[]string{refusing.LocalAddr().String(), dns.Addr()}, ""},
		{[]string{other.Addr(), dns.Addr()}, "the name does not resolve"},
		{[]string{refusing.LocalAddr().String()}, "connection refused"},
	} {
		s := after(t, selftest.Options{Keys: keys, Resolvers: test.servers}, url)
		if !strings.Contains(s.Failure, test.want) || (s.Status == selftest.Working) != (test.want == "") {
			t.Errorf("%v: %+v", test.servers, s)
		}
	}
}

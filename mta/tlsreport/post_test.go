package tlsreport

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func text(t testing.TB, zipped []byte) string {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// endpoint is an HTTPS server on loopback that answers as told.
func endpoint(t *testing.T, status int) (server *httptest.Server, bodies *[][]byte) {
	t.Helper()
	bodies = &[][]byte{}
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil || request.Method != http.MethodPost || request.Header.Get("Content-Type") != "application/tlsrpt+gzip" {
			t.Errorf("%s %s, %v", request.Method, request.Header.Get("Content-Type"), err)
		}
		*bodies = append(*bodies, body)
		answer.Header().Set("Location", "/elsewhere")
		answer.WriteHeader(status)
		_, _ = io.WriteString(answer, strings.Repeat("thanks ", 100_000)) // more than anybody reads
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, bodies
}

func trusting(server *httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return &tls.Config{RootCAs: pool}
}

func TestPost(t *testing.T) {
	for status, good := range map[int]bool{200: true, 201: true, 202: true, 301: false, 307: false, 400: false, 404: false, 500: false, 503: false} {
		server, bodies := endpoint(t, status)
		err := newPoster(true, trusting(server)).post(t.Context(), server.URL+"/v1/s3cret", []byte("zipped"))
		if (err == nil) != good || len(*bodies) != 1 || string((*bodies)[0]) != "zipped" {
			t.Errorf("%d: %v, %d requests", status, err, len(*bodies))
		}
		if err != nil && (!errors.Is(err, ErrEndpoint) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// A certificate that is not valid must not keep the report back that says so.
func TestPostWhateverTheCertificate(t *testing.T) {
	server, bodies := endpoint(t, 200)
	if err := newPoster(true, nil).post(t.Context(), server.URL, []byte("zipped")); err != nil || len(*bodies) != 1 {
		t.Errorf("%v, %d requests", err, len(*bodies))
	}
}

func TestPostStaysOutside(t *testing.T) {
	server, bodies := endpoint(t, 200)
	err := newPoster(false, nil).post(t.Context(), server.URL, []byte("zipped"))
	if !errors.Is(err, errInside) || len(*bodies) != 0 {
		t.Errorf("%v, %d requests", err, len(*bodies))
	}
	for address, inside := range map[string]bool{
		"127.0.0.1:443": true, "[::1]:443": true, "10.1.2.3:443": true, "192.168.1.1:443": true, "172.16.0.1:443": true,
		"169.254.169.254:80": true, "100.64.0.1:443": true, "0.0.0.0:443": true, "[fe80::1]:443": true, "[fd00::1]:443": true,
		"[::ffff:10.1.2.3]:443": true, "224.0.0.1:443": true, "what": true, "93.184.216.34:443": false, "[2606:2800:220::1]:443": false,
	} {
		if err := refuseInside("tcp", address, nil); (err != nil) != inside {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestPostToNobody(t *testing.T) {
	server, _ := endpoint(t, 200)
	gone := server.URL + "/s3cret"
	server.Close()
	for _, to := range []string{gone, "https://%zz", "http://[::1"} {
		if err := newPoster(true, nil).post(t.Context(), to, nil); !errors.Is(err, ErrEndpoint) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func TestPostIsInterrupted(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := newPoster(true, trusting(server)).post(ctx, server.URL, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestReportOverTheWire sends a report to a server that speaks HTTPS.
func TestReportOverTheWire(t *testing.T) {
	server, bodies := endpoint(t, 201)
	w := newWorld()
	w.records["_smtp._tls.example.net"] = []string{"v=TLSRPTv1; rua=" + server.URL + "/v1"}
	o := w.options(t)
	o.Post, o.Inside, o.TLSConfig = nil, true, trusting(server)
	r := reporter(t, o)
	r.Record(bad())
	r.mu.Lock()
	r.roll(time.Now().Add(24 * time.Hour))
	var due []*waiting
	for _, one := range r.waiting {
		due = append(due, one)
	}
	r.mu.Unlock()
	if len(due) != 1 || r.send(t.Context(), due[0]) != endedSent || len(*bodies) != 1 {
		t.Fatalf("%d due, %d posted; %s", len(due), len(*bodies), w.log.String())
	}
	if report := unzip(t, (*bodies)[0]); report.Policies[0].Summary.Failed != 1 {
		t.Errorf("%+v", report)
	}
}

package sts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
)

const goodBody = "version: STSv1\nmode: enforce\nmx: mx.a.example\nmax_age: 86400\n"

// policyHost serves over TLS on loopback. The fetcher it returns reaches it
// under every name, and trusts its authority.
func policyHost(t *testing.T, leaf testmx.Leaf, handler http.HandlerFunc) *HTTPS {
	t.Helper()
	authority, err := testmx.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, certificate, authority.Pool(), handler)
}

func serve(t *testing.T, certificate tls.Certificate, roots *x509.CertPool, handler http.HandlerFunc) *HTTPS {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = testmx.Serving(certificate)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return NewHTTPS(HTTPSOptions{
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "mta-sts.a.example:443" {
				t.Errorf("dials %s", address)
			}
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
		RootCAs: roots, Timeout: 2 * time.Second,
	})
}

func rightName() testmx.Leaf { return testmx.Leaf{Names: []string{"mta-sts.a.example"}} }

func text(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, body)
}

func TestFetch(t *testing.T) {
	h := policyHost(t, rightName(), func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "mta-sts.a.example" || r.URL.String() != "/.well-known/mta-sts.txt" || r.Method != http.MethodGet {
			t.Errorf("%s %s of %s", r.Method, r.URL, r.Host)
		}
		for name := range r.Header {
			if strings.HasPrefix(name, "If-") || name == "Cache-Control" || name == "Cookie" || name == "Accept-Encoding" {
				t.Errorf("%s: %s", name, r.Header.Get(name))
			}
		}
		w.Header().Set("Cache-Control", "max-age=0")
		w.Header().Set("Set-Cookie", "a=b")
		text(w, goodBody)
	})
	for range 2 {
		policy, err := h.Fetch(t.Context(), domain)
		if err != nil || policy.Mode != Enforce || !policy.Allows("mx.a.example") {
			t.Errorf("%+v, %v", policy, err)
		}
	}
}

func TestFetchRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		cause   error
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != policyPath {
				text(w, goodBody)
				return
			}
			http.Redirect(w, r, "https://mta-sts.a.example/elsewhere", http.StatusFound)
		}, ErrFetch},
		"redirect with a policy": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://mta-sts.a.example/elsewhere")
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusMovedPermanently)
			_, _ = io.WriteString(w, goodBody)
		}, ErrFetch},
		"not found":  {http.NotFound, ErrFetch},
		"no content": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, ErrFetch},
		"HTML": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, goodBody)
		}, ErrFetch},
		"no media type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, goodBody)
		}, ErrFetch},
		"encoded": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			text(w, goodBody)
		}, ErrFetch},
		"too large": {func(w http.ResponseWriter, _ *http.Request) {
			text(w, goodBody+strings.Repeat("x: y\n", 64<<10/5))
		}, ErrInvalid},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, strings.Repeat("x: y\n", 1000))
			}
		}, ErrInvalid},
		"endless header": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 20<<10))
			text(w, goodBody)
		}, ErrFetch},
		"invalid": {func(w http.ResponseWriter, _ *http.Request) { text(w, "version: STSv1\n") }, ErrInvalid},
		"empty":   {func(w http.ResponseWriter, _ *http.Request) { text(w, "") }, ErrInvalid},
		"cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			text(w, goodBody)
		}, ErrFetch},
		"drop by drop": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "x")
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		}, ErrFetch},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ErrFetch},
	} {
		t.Run(name, func(t *testing.T) {
			h := policyHost(t, rightName(), tc.handler)
			h.client.Timeout = 300 * time.Millisecond
			policy, err := h.Fetch(t.Context(), domain)
			if !errors.Is(err, tc.cause) || policy.Mode != "" {
				t.Errorf("%+v, %v, want %v", policy, err, tc.cause)
			}
		})
	}
}

func TestFetchLargestPolicy(t *testing.T) {
	body := goodBody + strings.Repeat("x: y\n", (64<<10-len(goodBody))/5)
	h := policyHost(t, rightName(), func(w http.ResponseWriter, _ *http.Request) { text(w, body) })
	if _, err := h.Fetch(t.Context(), domain); err != nil {
		t.Errorf("%d octets: %v", len(body), err)
	}
}

func TestFetchVerifiesCertificates(t *testing.T) {
	good := func(w http.ResponseWriter, _ *http.Request) { text(w, goodBody) }
	for name, leaf := range map[string]testmx.Leaf{
		"wrong name":  {Names: []string{"a.example"}},
		"common name": {CommonName: "mta-sts.a.example"},
		"expired":     {Names: []string{"mta-sts.a.example"}, Expired: true},
	} {
		if _, err := policyHost(t, leaf, good).Fetch(t.Context(), domain); !errors.Is(err, ErrWebPKI) {
			t.Errorf("%s: %v", name, err)
		}
	}
	config, _, err := testmx.SelfSigned("mta-sts.a.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := serve(t, config.Certificates[0], x509.NewCertPool(), good).Fetch(t.Context(), domain); !errors.Is(err, ErrWebPKI) {
		t.Errorf("self-signed: %v", err)
	}
	wildcard := testmx.Leaf{Names: []string{"*.a.example"}}
	if _, err := policyHost(t, wildcard, good).Fetch(t.Context(), domain); err != nil {
		t.Errorf("wildcard: %v", err)
	}
}

func TestFetchUsesNoProxy(t *testing.T) {
	// The library reads the environment once, so that a test cannot set it.
	if NewHTTPS(HTTPSOptions{}).client.Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy may be used")
	}
}

func TestFetchFromNobody(t *testing.T) {
	refused := errors.New("no such host")
	h := NewHTTPS(HTTPSOptions{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refused }, Port: 8443})
	_, err := h.Fetch(t.Context(), domain)
	if !errors.Is(err, ErrFetch) || !errors.Is(err, refused) || strings.Contains(err.Error(), "8443") {
		t.Error(err)
	}
}

func TestFileStore(t *testing.T) {
	store := FileStore{Path: t.TempDir() + "/mta-sts.json"}
	if data, err := store.Load(); data != nil || err != nil {
		t.Errorf("%q, %v before the first save", data, err)
	}
	for _, document := range []string{"first, and longer", "second"} {
		if err := store.Save([]byte(document)); err != nil {
			t.Fatal(err)
		}
		if data, err := store.Load(); string(data) != document || err != nil {
			t.Errorf("%q, %v", data, err)
		}
	}
	if info, err := os.Stat(store.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := (FileStore{Path: t.TempDir() + "/none/x"}).Save(nil); err == nil {
		t.Error("saved into a folder that is not there")
	}
}

func TestDamagedFileIsSetAside(t *testing.T) {
	for name, damaged := range map[string]string{
		"garbage": "garbage", "version": `{"version":9}`,
		"policy": `{"version":1,"policies":[{"domain":"a b","id":"1","mode":"enforce","mx":["x"],"max_age":1}]}`,
	} {
		store := FileStore{Path: t.TempDir() + "/mta-sts.json"}
		if err := store.Save([]byte(damaged)); err != nil {
			t.Fatal(err)
		}
		w := newWorld()
		w.cache(t, func(o *Options) { o.Store = store }).Close()
		if kept, err := os.ReadFile(store.Path + ".damaged"); err != nil || string(kept) != damaged {
			t.Errorf("%s: %q, %v", name, kept, err)
		}
	}
}

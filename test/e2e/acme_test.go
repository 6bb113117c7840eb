package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/testacme"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

// TestTrackingDomainOverTLS proves the whole way of a new tracking domain: it is
// in the configuration and in DNS, the daemon gets its certificate from an
// authority, finds that readers would trust it, and puts links to it into mail
// that a reader can follow.
func TestTrackingDomainOverTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{})
	authority, err := testacme.Start(90 * 24 * time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = authority.Close() })
	authority.SetTLS(w.tracker)
	const name = "t.shop.test"
	ip, port, _ := net.SplitHostPort(w.tracker)
	w.publish(name + ". 1 A " + ip)
	base := "https://" + net.JoinHostPort(name, port)
	w.startTrusting(authority.RootPEM(), settings{
		tracking: "tls = \"acme\"\n",
		rest: fmt.Sprintf("[tracking.acme]\ndirectory = %q\nterms_accepted = true\n[[tenant]]\nname = \"default\"\ntracking_url = %q\n",
			authority.Directory(), base),
	})
	w.await("the domain works", func() bool { return strings.Contains(w.run("tracking", "domains"), base+"  working since") })
	if n := authority.Issued(name); n != 1 {
		t.Errorf("%d certificates", n)
	}
	w.hand(page("X-Postrider-Stream: marketing"), "a@reader.example")
	w.settled()
	tracked := find(t, link, mx.Messages()[0].Data)
	if !strings.HasPrefix(tracked, base+"/c/") {
		t.Fatalf("the link is %s", tracked)
	}
	reader := &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: authority.Roots()},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, w.tracker)
		},
	}
	request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, tracked, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := reader.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.Header.Get("Location") != target {
		t.Errorf("the link leads to %q: %s", response.Header.Get("Location"), response.Status)
	}
}

// startTrusting is start with a daemon whose host trusts one authority.
func (w *world) startTrusting(root []byte, s settings) {
	w.Helper()
	roots := w.write("roots.pem", string(root))
	script := w.write("postrider", fmt.Sprintf("#!/bin/sh\nSSL_CERT_FILE='%s' exec '%s' \"$@\"\n", roots, suite.binary))
	if err := os.Chmod(script, 0o700); err != nil {
		w.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(w.dir, "data"), 0o700); err != nil {
		w.Fatal(err)
	}
	var err error
	if w.daemon, err = harness.Serve(w.ctx, script, w.dir, w.configuration(s)); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		w.inspectMetrics()
		w.daemon.Kill()
		w.inspectLog()
	})
}

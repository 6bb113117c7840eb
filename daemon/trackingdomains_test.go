package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/testacme"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/tracking/selftest"
	"github.com/postrider-mta/postrider/tracking/token"
)

// TestWithheld proves that mail whose tracking domain does not answer goes out
// byte for byte as it was handed in, may be shared, and is counted, that a
// message which asks for nothing is not, and that all is as before afterwards.
func TestWithheld(t *testing.T) {
	const url = "https://t.example.com"
	r, registry := rendered(t, tenants(shop(url)))
	ring, err := token.NewKeyring(0, map[token.ID]token.Key{0: token.Generate()})
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan error)
	r.domains, err = selftest.New(selftest.Options{
		Keys: ring, Logger: discard(), Registerer: registry,
		Probe: func(ctx context.Context, _ string) (selftest.Answer, error) {
			select {
			case err := <-answers:
				return selftest.Answer{}, err
			case <-ctx.Done():
				return selftest.Answer{}, ctx.Err()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.domains.Run(ctx) }()
	defer func() { cancel(); <-done }()
	r.domains.Set(true, []string{url})
	answers <- fmt.Errorf("down")
	want, quiet := owed(t, "shop", account.Marketing, account.TrackAll), owed(t, "shop", account.Transactional, account.TrackNone)
	gone, end := context.WithCancel(ctx)
	end() // nobody waits for the grace of a new domain
	for _, delivery := range []struct {
		of     string
		render context.Context
	}{{"a stopping daemon", gone}, {"one that runs", ctx}} {
		got, err := r.Render(delivery.render, want, []byte(letter))
		if err != nil || string(got.Message) != letter || got.Personal {
			t.Errorf("%s: %v, personal %v:\n%s", delivery.of, err, got.Personal, got.Message)
		}
	}
	if !r.Shared(want.Message) {
		t.Error("bytes that are alike are not shared")
	}
	if _, err := r.Render(ctx, quiet, []byte(letter)); err != nil {
		t.Error(err)
	}
	counted := "# HELP postrider_tracking_withheld_total Messages rendered without links to a tracking domain, since it does not answer.\n" +
		"# TYPE postrider_tracking_withheld_total counter\npostrider_tracking_withheld_total{url=\"" + url + "\"} 2\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(counted), "postrider_tracking_withheld_total"); err != nil {
		t.Error(err)
	}
	answers <- nil
	for r.domains.States()[0].Status != selftest.Working {
		time.Sleep(time.Millisecond)
	}
	got, err := r.Render(ctx, want, []byte(letter))
	if err != nil || !bytes.Contains(got.Message, []byte(url+"/c/")) || !bytes.Contains(got.Message, []byte(url+"/u/")) || !got.Personal || r.Shared(want.Message) {
		t.Errorf("%v:\n%s", err, got.Message)
	}
	if n := testutil.ToFloat64(r.failures.WithLabelValues("url")); n != 0 {
		t.Errorf("%v failures", n)
	}
}

// free returns an address of loopback that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// shownBy is the first name of the certificate that a tracker shows for a host.
func shownBy(t *testing.T, address, host string) string {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].DNSNames[0]
}

// TestTrackerFiles proves that a tracker with certificates from files shows
// them, that a reload changes them and the hosts that plain HTTP leads to, and
// that a reload which fails changes nothing.
func TestTrackerFiles(t *testing.T) {
	const file = `
hostname = "mail.example.com"
data_dir = "data"
[tracking]
listen = "TLS"
http_listen = "HTTP"
url = "https://t.example.com"
tls = "files"
self_test = false
[[tracking.certificate]]
certificate = "a.crt"
key = "a.key"
[admin]
http = ""
`
	overTLS, plain := free(t), free(t)
	text := replaced(file, "TLS", overTLS, "HTTP", plain)
	s := newSite(t, text)
	s.certificate("a", "t.example.com")
	s.certificate("b", "u.example.com")
	d, _ := s.started()
	if got := shownBy(t, overTLS, "t.example.com"); got != "t.example.com" {
		t.Error(got)
	}
	leads := func(host string) string {
		r, err := http.NewRequest("GET", "http://"+plain+"/c/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.Header.Get("Location")
	}
	if leads("t.example.com") != "https://t.example.com/c/x" || leads("u.example.com") != "" {
		t.Error("plain HTTP leads elsewhere")
	}
	s.write("postrider.toml", replaced(text, "a.crt", "b.crt"))
	contains(t, d.reload(context.Background()), "tracking: certificate "+s.path("b.crt"))
	s.write("postrider.toml", replaced(text, "a.crt", "b.crt", "a.key", "b.key", "https://t.", "https://u."))
	if got := shownBy(t, overTLS, "t.example.com"); got != "t.example.com" {
		t.Error(got)
	}
	if err := d.reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := shownBy(t, overTLS, "u.example.com"); got != "u.example.com" {
		t.Error(got)
	}
	if leads("u.example.com") != "https://u.example.com/c/x" || leads("t.example.com") != "" {
		t.Error("plain HTTP leads where it did before the reload")
	}
}

// TestTrackerACME proves that the daemon gets a certificate for the domain of
// its configuration from an authority, finds it by its own name servers, keeps
// it private, and asks for a new domain after a reload.
func TestTrackerACME(t *testing.T) {
	authority, err := testacme.Start(90 * 24 * time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer authority.Close()
	dns, err := testmx.StartDNS()
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	if err := dns.Add("t.shop.example. 60 IN A 127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	address := free(t)
	_, port, _ := net.SplitHostPort(address)
	authority.SetTLS(address)
	const file = `
hostname = "mail.example.com"
data_dir = "data"
[tracking]
listen = "LISTEN"
url = "https://t.shop.example:PORT"
tls = "acme"
[tracking.acme]
directory = "DIRECTORY"
terms_accepted = true
[delivery]
resolvers = "RESOLVER"
[admin]
http = ""
`
	text := replaced(file, "LISTEN", address, "PORT", port, "DIRECTORY", authority.Directory(), "RESOLVER", dns.Addr())
	s := newSite(t, text)
	d, log := s.started()
	// The probe itself asks for the certificate. It does not trust the authority
	// of this test, and says so.
	log.await(t, "readers would not trust the certificate")
	if n := authority.Issued("t.shop.example"); n != 1 {
		t.Errorf("%d issued", n)
	}
	states := d.trackingDomains()
	if len(states) != 1 || states[0].Status != "failing" || fmt.Sprint(states[0].Tenants) != "[default]" || !strings.Contains(states[0].Failure, "trust") {
		t.Errorf("%+v", states)
	}
	if body := fetchAs(t, authority.Roots(), address, "t.shop.example", "/nothing"); body != "Not Found\n" {
		t.Errorf("got %q", body)
	}
	if info, err := os.Stat(s.path("data/acme")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	s.write("postrider.toml", replaced(text, "t.shop.example", "t.bank.example"))
	if err := d.reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if body := fetchAs(t, authority.Roots(), address, "t.bank.example", "/"); body != "Not Found\n" {
		t.Errorf("got %q", body)
	}
	if states := d.trackingDomains(); len(states) != 1 || !strings.Contains(states[0].URL, "t.bank.example") {
		t.Errorf("%+v", states)
	}
}

// fetchAs asks an address as if it were a host, and trusts these roots alone.
func fetchAs(t *testing.T, roots *x509.CertPool, address, host, path string) string {
	t.Helper()
	transport := &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	response, err := (&http.Client{Transport: transport}).Get("https://" + host + path)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}

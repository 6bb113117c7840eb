package route_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/route/sts"
	"github.com/postrider-mta/postrider/mta/smtpclient"
)

// internet is a name server, an authority that everybody trusts, policy hosts
// and mail exchangers, all on loopback.
type internet struct {
	t         *testing.T
	dns       *testmx.DNS
	authority *testmx.Authority
	// port of every mail exchanger.
	port uint16
	// policies by host name.
	mu       sync.Mutex
	policies map[string]http.HandlerFunc
	fetches  map[string]int
	web      *httptest.Server
}

func newInternet(t *testing.T, records ...string) *internet {
	t.Helper()
	i := &internet{t: t, dns: startDNS(t, records...), policies: map[string]http.HandlerFunc{}, fetches: map[string]int{}}
	authority, err := testmx.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	i.authority = authority
	i.web = httptest.NewUnstartedServer(http.HandlerFunc(i.serve))
	i.web.TLS = testmx.Serving(i.issue(testmx.Leaf{Names: []string{
		"mta-sts.a.example", "mta-sts.b.example", "mta-sts.slow.example", "mta-sts.inside.example", "mta-sts.a.s.example",
	}}))
	i.web.Config.ErrorLog = log.New(io.Discard, "", 0)
	i.web.StartTLS()
	t.Cleanup(i.web.Close)
	return i
}

func (i *internet) serve(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	i.mu.Lock()
	handler := i.policies[host]
	i.fetches[host]++
	i.mu.Unlock()
	if handler == nil {
		http.NotFound(w, r)
		return
	}
	handler(w, r)
}

func (i *internet) issue(leaf testmx.Leaf) tls.Certificate {
	i.t.Helper()
	issued, err := i.authority.Issue(leaf)
	if err != nil {
		i.t.Fatal(err)
	}
	return issued
}

// exchanger starts a mail exchanger at a loopback address, all on one port;
// without a certificate it offers no STARTTLS.
func (i *internet) exchanger(addr string, certificate *tls.Certificate) *testmx.Server {
	i.t.Helper()
	o := testmx.Options{Addr: fmt.Sprintf("%s:%d", addr, i.port)}
	if certificate != nil {
		o.TLSConfig = testmx.Serving(*certificate)
	}
	server, at := testmx.Start(i.t, o)
	i.port = at.Port()
	return server
}

// publish adds records; PORT in them is the port of the mail exchangers.
func (i *internet) publish(records ...string) {
	i.t.Helper()
	for _, record := range records {
		if err := i.dns.Add(strings.ReplaceAll(record, "PORT", fmt.Sprint(i.port))); err != nil {
			i.t.Fatal(err)
		}
	}
}

// policy publishes an MTA-STS policy of a domain.
func (i *internet) policy(domain, id, mode string, mx ...string) {
	i.t.Helper()
	body := "version: STSv1\nmode: " + mode + "\nmax_age: 86400\n"
	for _, pattern := range mx {
		body += "mx: " + pattern + "\n"
	}
	i.policyBy(domain, id, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, body)
	})
}

func (i *internet) policyBy(domain, id string, handler http.HandlerFunc) {
	i.t.Helper()
	if err := i.dns.Replace("_mta-sts."+domain+". 0 IN TXT \"v=STSv1; id="+id+"\"", "mta-sts."+domain+". 0 IN A 127.0.0.1"); err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.policies["mta-sts."+domain] = handler
}

func (i *internet) router(change func(*route.Options)) *route.Router {
	i.t.Helper()
	return newRouter(i.t, i.dns, func(o *route.Options) {
		o.Port, o.AllowLoopback, o.Family = i.port, true, route.OnlyIPv4
		o.Policies = route.Policies{
			DANE: true, STS: true, RootCAs: i.authority.Pool(),
			PolicyPort: netip.MustParseAddrPort(i.web.Listener.Addr().String()).Port(), Logger: slog.New(slog.DiscardHandler),
		}
		impatient(o)
		if change != nil {
			change(o)
		}
	})
}

// connect opens a connection as the host's protection asks for.
func (i *internet) connect(host route.Host) (smtpclient.Security, error) {
	client, err := smtpclient.Dial(i.t.Context(), host.Addrs[0], cmp.Or(host.TLS.ServerName, host.Name), smtpclient.Options{
		LocalName: "client.example", TLS: host.TLS.Floor, Verify: host.TLS.Verify, RequireTLS: host.TLS.RequireTLS,
		TLSConfig: &tls.Config{RootCAs: i.authority.Pool()},
	})
	if err != nil {
		return smtpclient.Security{}, err
	}
	defer client.Close()
	return client.Security(), nil
}

// result is the word of TLSRPT for the outcome of connect: empty where it is
// good.
func result(err error) route.Result {
	if err == nil {
		return ""
	}
	return route.HandshakeResult(!errors.Is(err, smtpclient.ErrTLSFloor), err)
}

func tlsaOf(usage, selector int, der []byte) string {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	data := c.Raw
	if selector == 1 {
		data = c.RawSubjectPublicKeyInfo
	}
	return fmt.Sprintf("%d %d 1 %x", usage, selector, sha256.Sum256(data))
}

func wantFindings(t *testing.T, findings []route.Finding, want ...route.Result) {
	t.Helper()
	var got []route.Result
	for _, f := range findings {
		got = append(got, f.Result)
		if f.Reason == "" || f.Policy.Type == "" || f.Policy.Domain == "" {
			t.Errorf("finding %+v says too little", f)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("findings %+v, want %v", findings, want)
	}
}

// TestDANEOnTheWire: each certificate under each kind of record.
func TestDANEOnTheWire(t *testing.T) {
	i := newInternet(t)
	right := i.issue(testmx.Leaf{Names: []string{"mx.signed.example"}})
	wrong := i.issue(testmx.Leaf{Names: []string{"other.example"}, Expired: true})
	expired := i.issue(testmx.Leaf{Names: []string{"mx.signed.example"}, Expired: true})
	byDomain := i.issue(testmx.Leaf{Names: []string{"a.signed.example"}})
	misnamed := i.issue(testmx.Leaf{Names: []string{"other.example"}})
	self, _, err := testmx.SelfSigned("whatever.example")
	if err != nil {
		t.Fatal(err)
	}
	root := i.authority.Certificate.Raw
	for name, tc := range map[string]struct {
		certificate *tls.Certificate
		records     []string
		floor       mail.TLSFloor
		result      route.Result
		findings    []route.Result
	}{
		"EE self-signed":       {&self.Certificates[0], []string{tlsaOf(3, 1, self.Certificates[0].Certificate[0])}, mail.TLSVerified, "", nil},
		"EE wrong and expired": {&wrong, []string{tlsaOf(3, 0, wrong.Certificate[0])}, mail.TLSVerified, "", nil},
		"EE mismatch":          {&right, []string{tlsaOf(3, 1, wrong.Certificate[0])}, mail.TLSVerified, route.CertificateNotTrusted, nil},
		"EE roll-over":         {&right, []string{tlsaOf(3, 1, wrong.Certificate[0]), tlsaOf(3, 1, right.Certificate[0])}, mail.TLSVerified, "", nil},
		"TA":                   {&right, []string{tlsaOf(2, 0, root)}, mail.TLSVerified, "", nil},
		"TA next hop's name":   {&byDomain, []string{tlsaOf(2, 0, root)}, mail.TLSVerified, "", nil},
		"TA wrong name":        {&misnamed, []string{tlsaOf(2, 1, root)}, mail.TLSVerified, route.CertificateHostMismatch, nil},
		"TA expired":           {&expired, []string{tlsaOf(2, 1, root)}, mail.TLSVerified, route.CertificateExpired, nil},
		"TA mismatch":          {&self.Certificates[0], []string{tlsaOf(2, 1, root)}, mail.TLSVerified, route.CertificateNotTrusted, nil},
		"no STARTTLS":          {nil, []string{tlsaOf(3, 1, root)}, mail.TLSVerified, route.StartTLSNotSupported, nil},
		"usage 1":              {&wrong, []string{tlsaOf(1, 0, right.Certificate[0])}, mail.TLSEncrypted, "", []route.Result{route.TLSAInvalid}},
		"unusable, no TLS":     {nil, []string{"3 1 1 00"}, mail.TLSEncrypted, route.StartTLSNotSupported, []route.Result{route.TLSAInvalid}},
		"malformed and good":   {&right, []string{"3 1 1 00", "9 9 9 00", tlsaOf(3, 1, right.Certificate[0])}, mail.TLSVerified, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			i.dns.Remove("a.signed.example")
			i.dns.Remove("mx.signed.example")
			i.port = 0
			i.exchanger("127.0.0.1", tc.certificate)
			i.dns.Sign("signed.example")
			i.publish("a.signed.example. 60 IN MX 1 mx.signed.example.", "mx.signed.example. 60 IN A 127.0.0.1")
			for _, data := range tc.records {
				i.publish("_PORT._tcp.mx.signed.example. 60 IN TLSA " + data)
			}
			found := mustRoute(t, i.router(nil), "a.signed.example")
			host := found.Hosts[0]
			if host.TLS.Floor != tc.floor || host.TLS.Policy.Type != route.PolicyTLSA || host.TLS.Policy.Domain != "mx.signed.example" ||
				len(host.TLS.Policy.Strings) != len(tc.records) || host.TLS.Reason == "" {
				t.Errorf("protection %+v", host.TLS)
			}
			wantFindings(t, found.Findings, tc.findings...)
			security, err := i.connect(host)
			if result(err) != tc.result {
				t.Errorf("%v is %q, want %q", err, result(err), tc.result)
			}
			if err == nil && tc.floor == mail.TLSVerified && !security.Verified() {
				t.Errorf("%+v", security)
			}
		})
	}
}

// TestDANEOnlyWhereSecure: the conditions of RFC 7672 section 2.2, and the
// choice of the base domain.
func TestDANEOnlyWhereSecure(t *testing.T) {
	i := newInternet(t)
	i.port = 25
	const data = "3 1 1 00000000000000000000000000000000000000000000000000000000000000ff"
	i.dns.Sign("s.example")
	i.dns.Unsign("u.s.example")
	i.publish(
		"plain.example. 60 IN MX 1 mx.plain.example.", "mx.plain.example. 60 IN A 127.0.0.1", "_25._tcp.mx.plain.example. 60 IN TLSA "+data,
		"full.s.example. 60 IN MX 1 mx.s.example.", "mx.s.example. 60 IN A 127.0.0.1", "_25._tcp.mx.s.example. 60 IN TLSA "+data,
		"none.s.example. 60 IN MX 1 bare.s.example.", "bare.s.example. 60 IN A 127.0.0.1",
		"insecuremx.example. 60 IN MX 1 mx.s.example.",
		"direct.s.example. 60 IN A 127.0.0.1", "_25._tcp.direct.s.example. 60 IN TLSA "+data,
		// TLSA records in a zone that is not signed, below a host that is.
		"hole.s.example. 60 IN MX 1 mx2.s.example.", "mx2.s.example. 60 IN A 127.0.0.1", "_25._tcp.mx2.s.example. 60 IN CNAME tlsa.plain.example.",
		"tlsa.plain.example. 60 IN TLSA "+data,
		// TLSA records behind an alias, all signed.
		"tlsaalias.s.example. 60 IN MX 1 mx3.s.example.", "mx3.s.example. 60 IN A 127.0.0.1", "_25._tcp.mx3.s.example. 60 IN CNAME shared.s.example.",
		"shared.s.example. 60 IN TLSA "+data,
		// Hosts that are aliases.
		"expanded.s.example. 60 IN MX 1 alias1.s.example.", "alias1.s.example. 60 IN CNAME mx.s.example.",
		"initial.s.example. 60 IN MX 1 alias2.s.example.", "alias2.s.example. 60 IN CNAME bare.s.example.", "_25._tcp.alias2.s.example. 60 IN TLSA "+data,
		"both.s.example. 60 IN MX 1 alias3.s.example.", "alias3.s.example. 60 IN CNAME mx.s.example.", "_25._tcp.alias3.s.example. 60 IN TLSA "+data,
		"leaves.s.example. 60 IN MX 1 alias4.s.example.", "alias4.s.example. 60 IN CNAME mx.plain.example.", "_25._tcp.alias4.s.example. 60 IN TLSA "+data,
		"leavesbare.s.example. 60 IN MX 1 alias5.s.example.", "alias5.s.example. 60 IN CNAME mx.plain.example.",
		"enters.s.example. 60 IN MX 1 alias6.plain.example.", "alias6.plain.example. 60 IN CNAME mx.s.example.", "_25._tcp.alias6.plain.example. 60 IN TLSA "+data,
		// The domain itself is an alias.
		"nick.s.example. 60 IN CNAME full.s.example.",
	)
	router := i.router(nil)
	for domain, base := range map[string]string{
		"plain.example": "", "full.s.example": "mx.s.example", "none.s.example": "", "insecuremx.example": "mx.s.example",
		"direct.s.example": "direct.s.example", "hole.s.example": "", "tlsaalias.s.example": "mx3.s.example",
		"expanded.s.example": "mx.s.example", "initial.s.example": "alias2.s.example", "both.s.example": "mx.s.example",
		"leaves.s.example": "alias4.s.example", "leavesbare.s.example": "", "enters.s.example": "", "nick.s.example": "mx.s.example",
	} {
		p := mustRoute(t, router, domain).Hosts[0].TLS
		if p.ServerName != base || (p.Verify != nil) != (base != "") || (p.Floor == mail.TLSVerified) != (base != "") {
			t.Errorf("%s: base %q, floor %v (%s), want base %q", domain, p.ServerName, p.Floor, p.Reason, base)
		}
	}
	for name, qtype := range map[string]uint16{
		"_25._tcp.mx.plain.example": dns.TypeTLSA, "_25._tcp.alias6.plain.example": dns.TypeTLSA, "mx.plain.example": dns.TypeCNAME,
	} {
		if n := i.dns.Queries(name, qtype); n != 0 {
			t.Errorf("%d needless questions for %s %s, which is not signed", n, name, dns.TypeToString[qtype])
		}
	}
	off := i.router(func(o *route.Options) { o.Policies.DANE = false })
	if p := mustRoute(t, off, "full.s.example").Hosts[0].TLS; p.Verify != nil || p.Floor != mail.TLSOpportunistic {
		t.Errorf("DANE is off: %+v", p)
	}
}

func TestTLSALookupFails(t *testing.T) {
	i := newInternet(t)
	i.port = 25
	i.dns.Sign(".")
	i.publish("a.example. 60 IN MX 1 bad.example.", "a.example. 60 IN MX 2 good.example.", "b.example. 60 IN MX 1 bad.example.",
		"bad.example. 60 IN A 127.0.0.1", "good.example. 60 IN A 127.0.0.2")
	for _, fault := range []testmx.DNSFault{{Rcode: dns.RcodeServerFailure}, {Rcode: dns.RcodeNotImplemented}, {Silent: true}} {
		i.dns.Fault("_25._tcp.bad.example", fault)
		router := i.router(nil)
		found := mustRoute(t, router, "a.example")
		if len(found.Hosts) != 1 || found.Hosts[0].Name != "good.example" {
			t.Errorf("%+v: %v", fault, hosts(found))
		}
		wantFindings(t, found.Findings, route.DNSSECInvalid)
		wantFailure(t, router, "b.example", route.ErrPolicy, 451, "4.7.5")
		var failure *route.Error
		if _, err := lookUp(t, router, "b.example"); errors.As(err, &failure) {
			wantFindings(t, failure.Findings, route.DNSSECInvalid)
			if strings.Contains(failure.Reply.Text, "127.0.0.1") {
				t.Errorf("reply %q tells of our name server", failure.Reply.Text)
			}
		}
	}
}

// TestTLSAWhileDNSIsDown: absence that was proven before serves on while the
// whole of DNS is down, but not while only the TLSA records are withheld.
func TestTLSAWhileDNSIsDown(t *testing.T) {
	i := newInternet(t)
	i.port = 25
	i.dns.Sign(".")
	i.publish("a.example. 0 IN MX 1 mx.example.", "mx.example. 0 IN A 127.0.0.1")
	router := i.router(func(o *route.Options) { o.Policies.STS = false })
	mustRoute(t, router, "a.example")
	i.dns.Fault("_25._tcp.mx.example", testmx.DNSFault{Rcode: dns.RcodeServerFailure})
	wantFailure(t, router, "a.example", route.ErrPolicy, 451, "4.7.5")
	i.dns.Heal("_25._tcp.mx.example")
	mustRoute(t, router, "a.example")
	i.dns.Fault(".", testmx.DNSFault{Rcode: dns.RcodeServerFailure})
	mustRoute(t, router, "a.example")
}

// TestSTSOnTheWire: each certificate under each mode.
func TestSTSOnTheWire(t *testing.T) {
	i := newInternet(t)
	good := i.issue(testmx.Leaf{Names: []string{"mx.a.example"}})
	misnamed := i.issue(testmx.Leaf{Names: []string{"a.example"}})
	expired := i.issue(testmx.Leaf{Names: []string{"mx.a.example"}, Expired: true})
	self, _, err := testmx.SelfSigned("mx.a.example")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		certificate *tls.Certificate
		result      route.Result
	}{
		"good": {&good, ""}, "self-signed": {&self.Certificates[0], route.CertificateNotTrusted},
		"wrong name": {&misnamed, route.CertificateHostMismatch}, "expired": {&expired, route.CertificateExpired},
		"no STARTTLS": {nil, route.StartTLSNotSupported},
	} {
		t.Run(name, func(t *testing.T) {
			i.dns.Remove("a.example")
			i.dns.Remove("mx.a.example")
			i.port = 0
			i.exchanger("127.0.0.1", tc.certificate)
			i.publish("a.example. 60 IN MX 1 mx.a.example.", "mx.a.example. 60 IN A 127.0.0.1")
			for mode, floor := range map[string]mail.TLSFloor{"enforce": mail.TLSVerified, "testing": mail.TLSOpportunistic, "none": mail.TLSOpportunistic} {
				i.policy("a.example", mode+"1", mode, "*.a.example")
				found := mustRoute(t, i.router(nil), "a.example")
				wantFindings(t, found.Findings)
				p := found.Hosts[0].TLS
				if p.Floor != floor || (mode == "none") != (p.Policy.Type == route.NoPolicy) || p.Policy.Testing != (mode == "testing") {
					t.Errorf("%s: %+v", mode, p)
				}
				if mode != "none" && (!slices.Equal(p.Policy.MXHosts, []string{"*.a.example"}) || len(p.Policy.Strings) != 4 || p.Policy.Domain != "a.example") {
					t.Errorf("%s: %+v", mode, p.Policy)
				}
				security, err := i.connect(found.Hosts[0])
				want := tc.result
				if mode != "enforce" {
					want = "" // but the reason is known
					if got := result(security.Untrusted); got != tc.result && tc.result != route.StartTLSNotSupported {
						t.Errorf("%s: would be reported as %q, want %q", mode, got, tc.result)
					}
				}
				if result(err) != want {
					t.Errorf("%s: %v is %q, want %q", mode, err, result(err), want)
				}
			}
		})
	}
}

func TestSTSNamesHosts(t *testing.T) {
	i := newInternet(t)
	i.port = 25
	i.publish("a.example. 60 IN MX 1 mx1.shared.example.", "a.example. 60 IN MX 2 mx2.shared.example.",
		"b.example. 60 IN MX 1 mx1.shared.example.", "b.example. 60 IN MX 2 mx2.shared.example.",
		"mx1.shared.example. 60 IN A 127.0.0.1", "mx2.shared.example. 60 IN A 127.0.0.2")
	i.policy("b.example", "1", "enforce", "*.shared.example")
	router := i.router(nil)
	b := mustRoute(t, router, "b.example")

	i.policy("a.example", "1", "enforce", "mx2.shared.example")
	found := mustRoute(t, router, "a.example")
	if len(found.Hosts) != 1 || found.Hosts[0].Name != "mx2.shared.example" {
		t.Error(hosts(found))
	}
	wantFindings(t, found.Findings, route.ValidationFailure)

	i.policy("a.example", "2", "enforce", "elsewhere.example")
	wantFailure(t, router, "a.example", route.ErrPolicy, 451, "4.7.5")
	// Whoever shares the hosts does not suffer.
	if again := mustRoute(t, router, "b.example"); again.Key() != b.Key() || again.Site != b.Site || len(again.Hosts) != 2 {
		t.Errorf("the other domain has %v", hosts(again))
	}

	i.policy("a.example", "3", "testing", "elsewhere.example")
	found = mustRoute(t, router, "a.example")
	if len(found.Hosts) != 2 || found.Hosts[0].TLS.Floor != mail.TLSOpportunistic || found.Key() == b.Key() {
		t.Errorf("testing mode: %v", hosts(found))
	}
	wantFindings(t, found.Findings, route.ValidationFailure, route.ValidationFailure)

	i.policy("a.example", "4", "enforce", "*.shared.example")
	if found = mustRoute(t, router, "a.example"); found.Key() != b.Key() {
		t.Errorf("two domains that ask for the same have the keys %q and %q", found.Key(), b.Key())
	}
}

// TestSTSPolicyHosts: what is wrong with a policy host leaves the domain as one
// without a policy, for a report.
func TestSTSPolicyHosts(t *testing.T) {
	i := newInternet(t)
	i.port = 25
	text := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, body)
		}
	}
	const good = "version: STSv1\nmode: enforce\nmx: elsewhere.example\nmax_age: 86400\n"
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		result  route.Result
	}{
		"down":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, route.STSPolicyFetchError},
		"not found": {http.NotFound, route.STSPolicyFetchError},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/.well-known") {
				http.Redirect(w, r, "/policy", http.StatusMovedPermanently)
				return
			}
			text(good)(w, r)
		}, route.STSPolicyFetchError},
		"HTML": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, good)
		}, route.STSPolicyFetchError},
		"too large": {text(good + strings.Repeat("x: y\n", 14000)), route.STSPolicyInvalid},
		"no policy": {text("version: STSv1\nmode: enforce\nmax_age: 1\n"), route.STSPolicyInvalid},
	} {
		i.dns.Remove("a.example")
		i.publish("a.example. 60 IN A 127.0.0.1")
		i.policyBy("a.example", "1", tc.handler)
		found := mustRoute(t, i.router(nil), "a.example")
		wantFindings(t, found.Findings, tc.result)
		if p := found.Hosts[0].TLS; p.Floor != mail.TLSOpportunistic || p.Policy.Type != route.NoPolicy {
			t.Errorf("%s: %+v", name, p)
		}
	}
	i.policyBy("a.example", "1", text(good))
	strangers := i.router(func(o *route.Options) { o.Policies.RootCAs = x509.NewCertPool() })
	wantFindings(t, mustRoute(t, strangers, "a.example").Findings, route.STSWebPKIInvalid)
	wantFailure(t, i.router(nil), "a.example", route.ErrPolicy, 451, "4.7.5")
	// A name that leads to where mail may not go leads no policy host there.
	i.policyBy("inside.example", "1", text(good))
	i.publish("inside.example. 60 IN MX 1 mx.inside.example.", "mx.inside.example. 60 IN A 198.51.100.1")
	router := i.router(func(o *route.Options) { o.AllowLoopback = false })
	wantFindings(t, mustRoute(t, router, "inside.example").Findings, route.STSPolicyFetchError)
	i.mu.Lock()
	defer i.mu.Unlock()
	if n := i.fetches["mta-sts.inside.example"]; n != 0 {
		t.Errorf("%d fetches from loopback", n)
	}
}

func TestSTSOverRestart(t *testing.T) {
	i := newInternet(t)
	i.port = 25
	i.publish("a.example. 60 IN MX 1 mx.a.example.", "mx.a.example. 60 IN A 127.0.0.1")
	i.policy("a.example", "1", "enforce", "mx.a.example")
	store := sts.FileStore{Path: t.TempDir() + "/mta-sts.json"}
	open := func() *route.Router {
		return i.router(func(o *route.Options) { o.Policies.STSStore = store })
	}
	router := open()
	mustRoute(t, router, "a.example")
	router.Close()
	i.web.Close()
	i.dns.Remove("_mta-sts.a.example")
	router = open()
	if p := mustRoute(t, router, "a.example").Hosts[0].TLS; p.Floor != mail.TLSVerified || p.Policy.Type != route.PolicySTS {
		t.Errorf("%+v", p)
	}
	if stats := router.Stats().STS; stats.Entries != 1 || stats.Fetches != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestSlowPolicyHostDelaysItsDomain(t *testing.T) {
	i := newInternet(t)
	i.port = 25
	for _, domain := range []string{"slow.example", "b.example"} {
		i.publish(domain+". 60 IN MX 1 mx.a.example.", "mx.a.example. 60 IN A 127.0.0.1")
	}
	i.policy("b.example", "1", "enforce", "mx.a.example")
	release := make(chan struct{})
	defer close(release)
	i.policyBy("slow.example", "1", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	router := i.router(func(o *route.Options) { o.Policies.Patience = time.Second })
	var waiting sync.WaitGroup
	waiting.Go(func() {
		found, err := router.Route(t.Context(), "slow.example")
		if err != nil || found.Hosts[0].TLS.Floor != mail.TLSOpportunistic {
			t.Errorf("%+v, %v", found, err)
			return
		}
		wantFindings(t, found.Findings, route.STSPolicyFetchError)
	})
	if p := mustRoute(t, router, "b.example").Hosts[0].TLS; p.Floor != mail.TLSVerified {
		t.Errorf("%+v", p)
	}
	waiting.Wait()
	// A caller who leaves gets no route, rather than one with less protection.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if found, err := router.Route(ctx, "b.example"); err == nil {
		t.Errorf("%+v", found)
	}
}

// TestDANEBeforeSTS: RFC 8461 section 2.
func TestDANEBeforeSTS(t *testing.T) {
	i := newInternet(t)
	i.port = 25
	const data = "3 1 1 00000000000000000000000000000000000000000000000000000000000000ff"
	i.dns.Sign("s.example")
	i.publish("a.s.example. 60 IN MX 1 mx1.s.example.", "a.s.example. 60 IN MX 2 mx2.s.example.", "a.s.example. 60 IN MX 3 mx3.s.example.",
		"mx1.s.example. 60 IN A 127.0.0.1", "mx2.s.example. 60 IN A 127.0.0.2", "mx3.s.example. 60 IN A 127.0.0.3",
		"_25._tcp.mx1.s.example. 60 IN TLSA "+data, "_25._tcp.mx3.s.example. 60 IN TLSA 0 0 0 00",
		"a.example. 60 IN MX 1 mx1.s.example.")
	i.policy("a.s.example", "1", "enforce", "mx2.s.example", "mx3.s.example")
	i.policy("a.example", "1", "enforce", "*.s.example")
	router := i.router(nil)
	found := mustRoute(t, router, "a.s.example")
	var got []string
	for _, h := range found.Hosts {
		got = append(got, fmt.Sprintf("%s %s %s %s", h.Name, h.TLS.Policy.Type, h.TLS.Floor, h.TLS.Basis()))
	}
	want := []string{"mx1.s.example tlsa verified dane", "mx2.s.example sts verified mta-sts", "mx3.s.example sts verified mta-sts"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q: %+v", got, want, found.Findings)
	}
	// MX records that are not authentic must not lead around the policy.
	if p := mustRoute(t, router, "a.example").Hosts[0].TLS; p.Policy.Type != route.PolicySTS || p.Verify != nil || p.Floor != mail.TLSVerified {
		t.Errorf("%+v", p)
	}
}

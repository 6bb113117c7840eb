package route_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/route/dane"
)

func TestUnder(t *testing.T) {
	i := newInternet(t)
	i.port = 25
	const data = "3 1 1 00000000000000000000000000000000000000000000000000000000000000ff"
	i.dns.Sign("s.example")
	i.publish("plain.example. 60 IN MX 1 mx.plain.example.", "mx.plain.example. 60 IN A 127.0.0.1",
		"a.example. 60 IN MX 1 mx.plain.example.",
		"dane.s.example. 60 IN A 127.0.0.1", "_25._tcp.dane.s.example. 60 IN TLSA "+data,
		"weak.s.example. 60 IN A 127.0.0.1", "_25._tcp.weak.s.example. 60 IN TLSA 0 0 0 00")
	i.policy("a.example", "1", "enforce", "mx.plain.example")
	router := i.router(func(o *route.Options) {
		o.Static = []route.Static{
			{Match: "relay.example", Hosts: []string{"127.0.0.1:25"}, Relay: route.Relay{TLS: mail.TLSEncrypted}},
			{Match: "open.example", Hosts: []string{"127.0.0.1:25"}, Relay: route.Relay{TLS: mail.TLSNone}},
		}
	})
	const (
		none, opportunistic, encrypted, verified = mail.TLSNone, mail.TLSOpportunistic, mail.TLSEncrypted, mail.TLSVerified
	)
	for _, tc := range []struct {
		domain string
		// floors under a demand of none, opportunistic, encrypted, verified.
		floors [4]mail.TLSFloor
	}{
		{"plain.example", [4]mail.TLSFloor{none, opportunistic, encrypted, verified}},
		{"weak.s.example", [4]mail.TLSFloor{encrypted, encrypted, encrypted, verified}},
		{"a.example", [4]mail.TLSFloor{verified, verified, verified, verified}},
		{"dane.s.example", [4]mail.TLSFloor{verified, verified, verified, verified}},
		{"relay.example", [4]mail.TLSFloor{encrypted, encrypted, encrypted, encrypted}},
		{"open.example", [4]mail.TLSFloor{none, none, none, none}},
	} {
		found := mustRoute(t, router, tc.domain)
		before := found.Key()
		keys := map[mail.TLSFloor]string{}
		for n, floor := range []mail.TLSFloor{none, opportunistic, encrypted, verified} {
			raised := found.Under(route.Demand{Floor: floor})
			p := raised.Hosts[0].TLS
			if p.Floor != tc.floors[n] || p.RequireTLS || p.Reason == "" {
				t.Errorf("%s under %v: %+v", tc.domain, floor, p)
			}
			if key, known := keys[p.Floor]; known && key != raised.Key() {
				t.Errorf("%s: equal protection, different keys", tc.domain)
			}
			keys[p.Floor] = raised.Key()
		}
		distinct := map[string]bool{}
		for _, key := range keys {
			distinct[key] = true
		}
		if len(distinct) != len(keys) {
			t.Errorf("%s: floors share a key: %q", tc.domain, keys)
		}
		required := found.Under(route.Demand{RequireTLS: true})
		if p := required.Hosts[0].TLS; p.Floor != verified || !p.RequireTLS || distinct[required.Key()] {
			t.Errorf("%s with REQUIRETLS: %+v, key %q", tc.domain, p, required.Key())
		}
		waived := found.Under(route.Demand{Waive: true})
		want := opportunistic
		if found.Relay != nil {
			want = found.Relay.TLS
		}
		if p := waived.Hosts[0].TLS; p.Floor != want || p.Verify != nil {
			t.Errorf("%s with TLS-Required: No: %+v", tc.domain, p)
		}
		if p := found.Under(route.Demand{Waive: true, RequireTLS: true}).Hosts[0].TLS; p.Floor != verified || !p.RequireTLS {
			t.Errorf("%s with REQUIRETLS and TLS-Required: No: %+v", tc.domain, p)
		}
		if p := found.Under(route.Demand{Waive: true, Floor: verified}).Hosts[0].TLS; found.Relay == nil && p.Floor != verified {
			t.Errorf("%s with TLS-Required: No under the operator's floor: %+v", tc.domain, p)
		}
		if found.Key() != before {
			t.Errorf("%s: the route was changed", tc.domain)
		}
	}
}

func TestWhoWaivesPoliciesUsesBarredHosts(t *testing.T) {
	i := newInternet(t)
	i.port = 25
	i.publish("a.example. 60 IN MX 1 other.plain.example.", "a.example. 60 IN MX 2 mx.plain.example.",
		"mx.plain.example. 60 IN A 127.0.0.1", "other.plain.example. 60 IN A 127.0.0.2")
	i.policy("a.example", "1", "enforce", "mx.plain.example")
	found := mustRoute(t, i.router(nil), "a.example")
	if len(found.Hosts) != 1 || found.Hosts[0].Name != "mx.plain.example" {
		t.Fatalf("hosts %+v", found.Hosts)
	}
	waived := found.Under(route.Demand{Waive: true})
	if len(waived.Hosts) != 2 || waived.Hosts[0].Name != "other.plain.example" || waived.Hosts[1].TLS.Floor != mail.TLSOpportunistic {
		t.Errorf("hosts without the policy: %+v", waived.Hosts)
	}
	if waived.Key() == found.Key() || len(found.Hosts) != 1 {
		t.Error("the two routes are not told apart")
	}
}

// TestWhoWaivesPoliciesHasARouteWhereNobodyElseHas: a report on a policy has to
// reach those who published it, above all where it names no host of theirs.
func TestWhoWaivesPoliciesHasARouteWhereNobodyElseHas(t *testing.T) {
	i := newInternet(t)
	i.port = 25
	i.publish("a.example. 60 IN MX 1 mx.plain.example.", "mx.plain.example. 60 IN A 127.0.0.1")
	i.policy("a.example", "1", "enforce", "elsewhere.example")
	_, err := lookUp(t, i.router(nil), "a.example")
	var failure *route.Error
	if !errors.As(err, &failure) || !errors.Is(err, route.ErrPolicy) {
		t.Fatal(err)
	}
	left := failure.Waivable(route.Demand{})
	if left == nil || len(left.Hosts) != 0 {
		t.Fatalf("left: %+v", left)
	}
	if waived := left.Under(route.Demand{Waive: true}); len(waived.Hosts) != 1 || waived.Hosts[0].Name != "mx.plain.example" || !waived.Hosts[0].TLS.Waived {
		t.Errorf("hosts without the policy: %+v", waived.Hosts)
	}
	if failure.Waivable(route.Demand{RequireTLS: true}) != nil {
		t.Error("REQUIRETLS is waived too")
	}
	_, err = lookUp(t, i.router(nil), "none.example")
	if !errors.As(err, &failure) || failure.Waivable(route.Demand{}) != nil {
		t.Errorf("a domain without hosts has some: %v", err)
	}
}

func TestHandshakeResult(t *testing.T) {
	wrap := func(err error) error {
		return fmt.Errorf("handshake: %w", &tls.CertificateVerificationError{Err: err})
	}
	for want, errs := range map[route.Result][]error{
		route.CertificateHostMismatch: {wrap(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "a"})},
		route.CertificateExpired:      {wrap(x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{}})},
		route.CertificateNotTrusted: {
			wrap(x509.UnknownAuthorityError{}), wrap(x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}),
			fmt.Errorf("handshake: %w", dane.ErrMismatch),
		},
		route.TLSAInvalid:       {fmt.Errorf("handshake: %w", dane.ErrUnusable)},
		route.ValidationFailure: {io.ErrUnexpectedEOF, tls.AlertError(40), dane.ErrNoCertificate, nil},
	} {
		for _, err := range errs {
			if got := route.HandshakeResult(true, err); got != want {
				t.Errorf("%v is %q, want %q", err, got, want)
			}
		}
	}
	if got := route.HandshakeResult(false, errors.New("any")); got != route.StartTLSNotSupported {
		t.Errorf("not offered: %q", got)
	}
}

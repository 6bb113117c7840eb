package smtpclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
)

func TestSecurity(t *testing.T) {
	config, pool := certificate(t, "mx.test")
	_, addr := testmx.Start(t, testmx.Options{TLSConfig: config})
	trusting := &tls.Config{RootCAs: pool}
	for name, test := range map[string]struct {
		options  Options
		verified bool
	}{
		"verified":                      {Options{TLS: mail.TLSVerified, TLSConfig: trusting}, true},
		"opportunistic, but trusted":    {Options{TLSConfig: trusting}, true},
		"opportunistic":                 {Options{}, false},
		"encrypted":                     {Options{TLS: mail.TLSEncrypted}, false},
		"encrypted, policy not kept":    {Options{TLS: mail.TLSEncrypted, TLSConfig: trusting, Verify: refuse}, false},
		"verified by policy alone":      {Options{TLS: mail.TLSVerified, Verify: approve}, true},
		"opportunistic, trusted by one": {Options{Verify: approve}, true},
	} {
		s := dial(t, addr, test.options).Security()
		if s.Version != "TLS 1.3" || !strings.HasPrefix(s.Cipher, "TLS_") || s.Verified() != test.verified || s.Resumed {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s := dial(t, addr, Options{TLS: mail.TLSNone}).Security(); s != (Security{}) || s.Verified() {
		t.Errorf("in the clear: %+v", s)
	}
}

var errRefused = errors.New("not the one")

func refuse(tls.ConnectionState) error { return errRefused }

func approve(tls.ConnectionState) error { return nil }

func TestVerifyDecides(t *testing.T) {
	config, pool := certificate(t, "mx.test")
	server, addr := testmx.Start(t, testmx.Options{TLSConfig: config})
	_, err := tryDial(t, addr, Options{TLS: mail.TLSVerified, TLSConfig: &tls.Config{RootCAs: pool}, Verify: refuse})
	if e := failure(t, err, STARTTLS); !errors.Is(e, ErrHandshake) || !errors.Is(e, errRefused) {
		t.Error(e)
	}
	if n := server.Counters().Messages; n != 0 {
		t.Errorf("%d messages", n)
	}
}

// TestUntrusted: each certificate of the wrong kind is told from the others.
func TestUntrusted(t *testing.T) {
	authority, err := testmx.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		leaf testmx.Leaf
		as   func(error) bool
	}{
		"wrong name":  {testmx.Leaf{Names: []string{"other.test"}}, is[x509.HostnameError]},
		"common name": {testmx.Leaf{CommonName: "mx.test"}, is[x509.HostnameError]},
		"expired":     {testmx.Leaf{Names: []string{"mx.test"}, Expired: true}, is[x509.CertificateInvalidError]},
		"unknown":     {testmx.Leaf{Names: []string{"mx.test"}}, is[x509.UnknownAuthorityError]},
	} {
		issued, err := authority.Issue(test.leaf)
		if err != nil {
			t.Fatal(err)
		}
		roots := authority.Pool()
		if name == "unknown" {
			roots = x509.NewCertPool()
		}
		_, addr := testmx.Start(t, testmx.Options{TLSConfig: testmx.Serving(issued)})
		base := &tls.Config{RootCAs: roots}
		_, err = tryDial(t, addr, Options{TLS: mail.TLSVerified, TLSConfig: base})
		if e := failure(t, err, STARTTLS); !errors.Is(e, ErrHandshake) || !test.as(e) {
			t.Errorf("%s: %v", name, e)
		}
		if s := dial(t, addr, Options{TLSConfig: base}).Security(); !test.as(s.Untrusted) {
			t.Errorf("%s: opportunistic: %+v", name, s)
		}
	}
}

func is[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

func TestSessionsAreResumed(t *testing.T) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		config, pool := certificate(t, "mx.test")
		config.MaxVersion = version
		_, addr := testmx.Start(t, testmx.Options{TLSConfig: config})
		sessions := NewSessions(10)
		connect := func(scope string) Security {
			c := dial(t, addr, Options{
				TLS: mail.TLSVerified, TLSConfig: &tls.Config{RootCAs: pool}, Sessions: sessions, SessionScope: scope,
			})
			send(t, c, transactionTo(t, "a@one.example"))
			return c.Security()
		}
		if connect("").Resumed || !connect("").Resumed || connect("dane").Resumed || !connect("dane").Resumed {
			t.Errorf("TLS %s: sessions are not kept by scope", name)
		}
		if s := connect(""); !s.Resumed || !s.Verified() || s.Version != "TLS "+name {
			t.Errorf("TLS %s: %+v", name, s)
		}
	}
}

// TestOutdatedSession: a session from before the policy changed is given up,
// and the certificate of now decides.
func TestOutdatedSession(t *testing.T) {
	config, _ := certificate(t, "mx.test")
	server, addr := testmx.Start(t, testmx.Options{TLSConfig: config})
	var refuseResumed, refuseAll atomic.Bool
	options := Options{TLS: mail.TLSVerified, Sessions: NewSessions(10), Verify: func(state tls.ConnectionState) error {
		if refuseAll.Load() || refuseResumed.Load() && state.DidResume {
			return errRefused
		}
		return nil
	}}
	send(t, dial(t, addr, options), transactionTo(t, "a@one.example"))
	refuseResumed.Store(true)
	if s := dial(t, addr, options).Security(); s.Resumed || !s.Verified() {
		t.Errorf("%+v", s)
	}
	before := server.Counters().Connections
	refuseAll.Store(true)
	if _, err := tryDial(t, addr, options); !errors.Is(err, errRefused) {
		t.Error(err)
	}
	if n := server.Counters().Connections - before; n > 2 {
		t.Errorf("%d connections to a server that is refused", n)
	}
}

func TestRequireTLS(t *testing.T) {
	config, pool := certificate(t, "mx.test")
	_, addr := testmx.Start(t, testmx.Options{TLSConfig: config})
	options := Options{TLS: mail.TLSVerified, TLSConfig: &tls.Config{RootCAs: pool}, RequireTLS: true}
	_, err := tryDial(t, addr, options)
	if e := failure(t, err, EHLO); !errors.Is(e, ErrRequireTLS) || e.Scope != mail.ScopeSite {
		t.Errorf("%+v", e)
	}
	// What is offered in the clear does not count.
	l := scripted(t, "220 x\r\n", "250-x\r\n250 REQUIRETLS\r\n")
	options.TLS = mail.TLSOpportunistic
	_, err = tryDial(t, tcpAddr(l), options)
	if e := failure(t, err, EHLO); !errors.Is(e, ErrRequireTLS) {
		t.Errorf("%+v", e)
	}
	_, addr = testmx.Start(t, testmx.Options{TLSConfig: config, Rules: []testmx.Rule{rule(testmx.EHLO, "", "250-mx.test\r\n250-STARTTLS\r\n250 REQUIRETLS")}})
	if !dial(t, addr, options).Extensions().RequireTLS {
		t.Error("not offered")
	}
}

package submission

import (
	"crypto/tls"
	"encoding/base64"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
)

// submissionPort is a listener as on port 587.
func submissionPort() Listener { return Listener{Name: "submission", Address: "127.0.0.1:0"} }

func TestLoginPlainAndLogin(t *testing.T) {
	f := start(t, options(submissionPort()))
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	c := f.greeted(0)
	c.say("MAIL FROM:<sender@example.com>", "530 5.7.0")
	c.say("AUTH PLAIN", "334 ")
	c.say(plainResponse("app", secret), "235 2.7.0")
	c.message(simple, "250")
	if body := string(f.store.last(t).Body); !strings.Contains(body, " with ESMTPA id ") {
		t.Errorf("%q", body)
	}

	c = f.greeted(0)
	c.say("AUTH LOGIN", "334 "+encode("Username:"))
	c.say(encode("app"), "334 "+encode("Password:"))
	c.say(encode(secret), "235")
	c = f.greeted(0)
	c.say("auth login "+encode("app"), "334 "+encode("Password:"))
	c.say("*", "501")
	c.say("AUTH LOGIN "+encode("app"), "334")
	c.say(encode("wrong"), "535 5.7.8")
	c.say("AUTH PLAIN "+encode("other\x00app\x00"+secret), "535 5.7.8")
	c.say("AUTH PLAIN "+encode("app\x00"+secret), "501 5.5.2")
	c.say("AUTH PLAIN "+encode("app\x00app\x00"+secret), "235")
}

// A SASL response that looks like a command is none.
func TestResponseIsNoCommand(t *testing.T) {
	f := start(t, options(submissionPort()))
	c := f.greeted(0)
	for _, line := range []string{"BDAT 100 LAST", "STARTTLS", "QUIT", "RSET"} {
		c.say("AUTH PLAIN", "334")
		c.say(line, "501")
	}
	c.say("NOOP", "250")
	c.say("AUTH PLAIN", "334")
	c.send(plainResponse("app", secret) + "\n")
	c.expect("500")
	c.closed()
}

func TestNoLoginInTheClear(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	l := submissionPort()
	l.TLS, l.TLSConfig = TLSStart, serverTLS
	l.ProxyNetworks = loopback()
	f := start(t, options(l))
	c := f.dial(0)
	c.send("PROXY TCP4 192.0.2.7 192.0.2.1 5000 587\r\n")
	c.expect("220")
	offered := c.say("EHLO client.example", "250")
	if strings.Contains(offered, "AUTH") || !strings.Contains(offered, "STARTTLS") {
		t.Errorf("offered %q", offered)
	}
	c.say("AUTH PLAIN "+plainResponse("app", secret), "538 5.7.11")
	c = c.starttls(clientTLS)
	c.say("EHLO client.example", "250")
	c.say("AUTH PLAIN "+plainResponse("app", secret), "235")
	c.message(simple, "250")
	if body := string(f.store.last(t).Body); !strings.Contains(body, "([192.0.2.7])") {
		t.Errorf("the proxied client is not named: %q", body)
	}
}

func TestFailuresCloseTheConnection(t *testing.T) {
	o := options(submissionPort())
	o.Limits.AuthFailures, o.Limits.AuthFailuresPerIP = 2, 3
	f := start(t, o)
	c := f.greeted(0)
	c.say("AUTH PLAIN "+plainResponse("app", "wrong"), "535")
	c.say("AUTH PLAIN "+plainResponse("nobody", secret), "421 4.7.0")
	c.closed()
	c = f.greeted(0)
	c.say("AUTH PLAIN "+plainResponse("nobody", ""), "535")
	c.say("AUTH PLAIN "+plainResponse("app", secret), "421 4.7.0")
	c.closed()
}

func TestUnusableHashIsNotAWrongPassword(t *testing.T) {
	f := start(t, options(submissionPort()))
	c := f.greeted(0)
	c.say("AUTH PLAIN "+plainResponse("bad", secret), "454 4.7.0")
}

// Many connections of one client cost one hash.
func TestManyLoginsHashOnce(t *testing.T) {
	f := start(t, options(submissionPort()))
	var clients sync.WaitGroup
	for range 50 {
		c := f.greeted(0)
		clients.Go(func() { c.send("AUTH PLAIN " + plainResponse("app", secret) + "\r\n") })
		defer c.expect("235")
	}
	clients.Wait()
	eventually(t, "one hash", func() bool { return testutil.ToFloat64(f.server.metrics.hashes) >= 1 })
	c := f.greeted(0)
	c.say("AUTH PLAIN "+plainResponse("app", secret), "235")
	if n := testutil.ToFloat64(f.server.metrics.hashes); n > 2 {
		t.Errorf("%v hashes", n)
	}
}

func TestBusyVerifier(t *testing.T) {
	o := options(submissionPort())
	o.Limits.Hashing, o.Limits.AuthWait = 1, 20*time.Millisecond
	f := start(t, o)
	f.server.verifier.slots <- struct{}{}
	c := f.greeted(0)
	c.say("AUTH PLAIN "+plainResponse("app", secret), "454 4.7.0")
	<-f.server.verifier.slots
	c.say("AUTH PLAIN "+plainResponse("app", secret), "235")
}

func TestUnknownUsersAreHashedToo(t *testing.T) {
	f := start(t, options(submissionPort()))
	before := testutil.ToFloat64(f.server.metrics.hashes)
	f.greeted(0).say("AUTH PLAIN "+plainResponse("nobody", secret), "535")
	if testutil.ToFloat64(f.server.metrics.hashes) != before+1 {
		t.Error("an unknown user is answered without work")
	}
}

func TestSenderDomains(t *testing.T) {
	f := start(t, options(submissionPort()))
	c := f.greeted(0)
	c.say("AUTH PLAIN "+plainResponse("app", secret), "235")
	if reply := c.say("MAIL FROM:<ceo@bank.example>", "550 5.7.1"); !strings.Contains(reply, "bank.example") {
		t.Errorf("the domain is not named: %q", reply)
	}
	c.say("MAIL FROM:<x@notexample.com>", "550 5.7.1")
	c.say("MAIL FROM:<x@sub.example.com>", "250")
	c.say("RSET", "250")
	for header, want := range map[string]string{
		"From: a@example.com":                                      "250",
		"From: A <a@EXAMPLE.com>, B <b@x.example.com>":             "250",
		"From: a@example.com, b@bank.example":                      "550 5.7.1 header From: bank.example",
		"From: Team: a@example.com, \"b\" <b@bank.example>;":       "550 5.7.1",
		"From: a@example.com\r\nSender: b@bank.example":            "550 5.7.1 header Sender",
		"From: a@example.com\r\nSender: b@example.com":             "250",
		"From: a@example.com\r\nFrom: a@example.com":               "550 5.6.0",
		"From: a@example.com\r\nfrom : b@bank.example":             "550 5.6.0",
		"From: ceo@bank.example <a@example.com>":                   "550 5.6.0",
		"From: \"ceo@bank.example\" <a@example.com>":               "250",
		"From: a@example.com <b@bank.example>":                     "550 5.6.0",
		"From: (x@example.com) b@bank.example":                     "550 5.7.1",
		"From: <b@bank.example> a@example.com":                     "550 5.6.0",
		"From: <@example.com:b@bank.example>":                      "550",
		"From:":                                                    "550 5.6.0",
		"From: undisclosed:;":                                      "550 5.6.0",
		"From: nobody":                                             "550 5.6.0",
		"To: a@example.com":                                        "550 5.6.0",
		"Subject: x\r\n From: a@example.com":                       "550 5.6.0",
		"From:\r\n =?utf-8?q?A?=\r\n\t<a@example.com>\r\nX-Foo: b": "250",
	} {
		c.say("MAIL FROM:<>", "250")
		c.say("RCPT TO:<a@example.net>", "250")
		c.say("DATA", "354")
		c.send(header + "\r\n\r\nx\r\n.\r\n")
		if reply := c.reply(); !strings.HasPrefix(reply, want) {
			t.Errorf("%q: %q, want %q", header, reply, want)
		}
		if want != "250" {
			c.say("RSET", "250")
		}
	}
}

func TestTrustedPeers(t *testing.T) {
	anyFrom, strict := trusted(), trusted()
	anyFrom.Name, anyFrom.AnyFrom, anyFrom.FromDomains = "any", true, nil
	strict.Name, strict.RequireAuth = "strict", true
	f := start(t, options(trusted(), anyFrom, strict))
	c := f.greeted(0)
	c.say("MAIL FROM:<x@bank.example>", "550 5.7.1")
	c = f.greeted(1)
	c.say("MAIL FROM:<x@bank.example>", "250")
	c.say("RCPT TO:<a@example.net>", "250")
	c.say("DATA", "354")
	c.say("From: whoever @@ bank\r\n\r\nx\r\n.", "250")
	if m := f.store.last(t).Message; m.HeaderFrom != "bank.example" || m.Tenant != "acme" {
		t.Errorf("%+v", m)
	}
	// Logging in binds to the credential.
	c.say("AUTH PLAIN "+plainResponse("app", secret), "235")
	c.say("MAIL FROM:<x@bank.example>", "550 5.7.1")
	f.greeted(2).say("MAIL FROM:<sender@example.com>", "530")
}

func TestReload(t *testing.T) {
	f := start(t, options(submissionPort()))
	c := f.greeted(0)
	c.say("AUTH PLAIN "+plainResponse("app", secret), "235")
	c.message(simple, "250")
	next := accounts()
	next.credentials = maps.Clone(next.credentials)
	next.credentials["app"] = account.Credential{
		Username: "app", Tenant: "acme", PasswordHash: hashed, FromDomains: []mail.Domain{"other.example"},
	}
	if err := f.server.Reload(next, Limits{MessageSize: 5000}, nil); err != nil {
		t.Fatal(err)
	}
	c.say("MAIL FROM:<sender@example.com>", "550 5.7.1")
	delete(next.credentials, "app")
	c.say("MAIL FROM:<sender@other.example>", "421 4.7.0")
	c.closed()
	if offered := f.dial(0); !strings.Contains(func() string { offered.expect("220"); return offered.say("EHLO c", "250") }(), "SIZE 5000") {
		t.Error("new limits are not offered")
	}
	if err := f.server.Reload(accounts(), Limits{Idle: -1}, nil); err == nil {
		t.Error("negative limit taken")
	}
}

func TestReloadCertificate(t *testing.T) {
	first, firstClient := certificate(t)
	second, secondClient := certificate(t)
	l := submissionPort()
	l.TLS, l.TLSConfig = TLSStart, first
	f := start(t, options(l))
	f.greeted(0).starttls(firstClient)
	if err := f.server.Reload(accounts(), Limits{}, map[string]*tls.Config{"submission": second}); err != nil {
		t.Fatal(err)
	}
	f.greeted(0).starttls(secondClient)
	if err := f.server.Reload(accounts(), Limits{}, map[string]*tls.Config{}); err == nil {
		t.Error("a listener lost its certificate")
	}
	f.greeted(0).starttls(secondClient)
}

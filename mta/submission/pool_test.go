package submission

import (
	"strings"
	"testing"
)

func TestMessageMayNameAPoolOfItsTenant(t *testing.T) {
	f := startTrusted(t)
	c := f.greeted(0)
	c.message("X-Postrider-Pool: slow\r\n"+simple, "250")
	if m := f.store.last(t).Message; m.Pool != "slow" {
		t.Errorf("pool %q", m.Pool)
	}
	if reply := c.message("X-Postrider-Pool: others\r\n"+simple, "550 5.6.0"); !strings.Contains(reply, "names no pool that you may use; there are fast, slow") {
		t.Errorf("refused with %q", reply)
	}
}

func TestRequireTLSIsTakenUnderTLSAlone(t *testing.T) {
	server, clientTLS := certificate(t)
	f := start(t, options(Listener{Name: "submission", Address: "127.0.0.1:0", TLS: TLSStart, TLSConfig: server}))
	c := f.greeted(0).starttls(clientTLS)
	c.say("EHLO client.example", "250")
	c.say("AUTH PLAIN "+plainResponse("app", secret), "235 2.7.0")
	c.say("MAIL FROM:<sender@example.com> REQUIRETLS", "250")
	c.say("RCPT TO:<a@example.net>", "250")
	c.say("DATA", "354")
	c.send(simple + "\r\n.\r\n")
	c.expect("250")
	if e := f.store.last(t).Message.Envelope; !e.RequireTLS || e.WaiveTLS {
		t.Errorf("the demand is lost: %+v", e)
	}
	c.say("MAIL FROM:<sender@example.com> REQUIRETLS", "250")
	c.say("RCPT TO:<a@example.net>", "250")
	c.say("DATA", "354")
	c.send("TLS-Required: No\r\n" + simple + "\r\n.\r\n")
	c.expect("250")
	if e := f.store.last(t).Message.Envelope; !e.RequireTLS || e.WaiveTLS {
		t.Errorf("REQUIRETLS must win: %+v", e)
	}
}

func TestTLSPoliciesAreWaived(t *testing.T) {
	f := startTrusted(t)
	c := f.greeted(0)
	for field, want := range map[string]bool{
		"": false, "TLS-Required: No\r\n": true, "tls-required:\r\n  no \r\n": true, "TLS-Required: Yes\r\n": false,
	} {
		c.message(field+simple, "250")
		if got := f.store.last(t).Message.Envelope.WaiveTLS; got != want {
			t.Errorf("%q: %v", field, got)
		}
	}
}

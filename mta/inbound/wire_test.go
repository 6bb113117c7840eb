package inbound_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/bounce/verp"
	"github.com/postrider-mta/postrider/mta/inbound"
	"github.com/postrider-mta/postrider/queue"
)

func hard() string { return status(failedWith("5.1.1", "550 5.1.1 user unknown")...) }

// TestWire: what other servers see, from the greeting to QUIT.
func TestWire(t *testing.T) {
	d := newDesk(t)
	address := d.listen(t)
	to := d.address(t, verp.Bounce)
	c := dial(t, address)
	c.expect("220 mx.example.com")
	offered := c.say("EHLO mx.example.net", "250")
	if strings.Contains(offered, "AUTH") || strings.Contains(offered, "STARTTLS") || strings.Contains(offered, "DSN") || !strings.Contains(offered, "SIZE") || !strings.Contains(offered, "SMTPUTF8") {
		t.Errorf("offered %q", offered)
	}
	c.deliver(to, hard(), "250 2.0.0 received")
	// BDAT, in two chunks.
	message := hard()
	c.send(fmt.Sprintf("MAIL FROM:<mailer@example.net>\r\nRCPT TO:<%s>\r\nBDAT 20\r\n%sBDAT %d LAST\r\n%s", to, message[:20], len(message)-20, message[20:]))
	for range 4 {
		c.expect("250")
	}
	if told := d.told(); len(told) != 2 || told[0].Type != event.Bounced {
		t.Errorf("%+v", told)
	}
	c.say("QUIT", "221")
	c.closed()
}

// TestRefusals: no relaying, no looking around, no logging in; the message to
// those that are left goes on.
func TestRefusals(t *testing.T) {
	d := newDesk(t)
	address := d.listen(t)
	c := greeted(t, address)
	for line, want := range map[string]string{
		"AUTH PLAIN AGEAYg==": "503", "VRFY postmaster": "502", "EXPN list": "502", "STARTTLS": "502", "ETRN example.org": "500",
		"TURN": "500", "XCLIENT NAME=x": "500",
	} {
		c.say(line, want)
	}
	to := d.address(t, verp.Bounce)
	c = greeted(t, address)
	c.say("MAIL FROM:<>", "250")
	c.say("RCPT TO:<someone@example.org>", "550 5.7.1")
	c.say("RCPT TO:<@bounce.example.com:someone@example.org>", "550 5.7.1")
	c.say("RCPT TO:<someone@bounce.example.com>", "550 5.1.1")
	c.say("RCPT TO:<postmaster>", "550 5.1.1")
	c.say("DATA", "503")
	c.say("RCPT TO:<"+to.String()+">", "250")
	c.say("DATA", "354")
	c.send(hard() + ".\r\n")
	c.expect("250")
	if told := d.told(); len(told) != 1 {
		t.Errorf("%+v", told)
	}
}

// TestGuesses: who tries addresses out is sent away.
func TestGuesses(t *testing.T) {
	c := greeted(t, newDesk(t).listen(t))
	c.say("MAIL FROM:<>", "250")
	for n := range 9 {
		c.say(fmt.Sprintf("RCPT TO:<guess%d@bounce.example.com>", n), "550 5.1.1")
	}
	c.say("RCPT TO:<guess@bounce.example.com>", "550 5.1.1")
	c.expect("421")
	c.closed()
}

// TestFailedWriteOnTheWire: 452, and the same message again finds its way.
func TestFailedWriteOnTheWire(t *testing.T) {
	d := newDesk(t)
	c := greeted(t, d.listen(t))
	to := d.address(t, verp.Bounce)
	for err, want := range map[error]string{queue.ErrFull: "452 4.3.1", queue.ErrUnavailable: "452 4.3.1", errors.New("reader@example.net: secret"): "451 4.3.0"} {
		d.fail(fmt.Errorf("write: %w", err))
		c.say("MAIL FROM:<>", "250")
		c.say("RCPT TO:<"+to.String()+">", "250")
		c.say("DATA", "354")
		c.send(hard() + ".\r\n")
		if reply := c.expect(want); strings.Contains(reply, "secret") {
			t.Errorf("the cause is told: %s", reply)
		}
	}
	d.fail(nil)
	c.deliver(to, hard(), "250")
	if len(d.told()) != 1 {
		t.Error("the message was lost")
	}
}

// TestOversize: too much is refused, announced or not, and read no further than
// is good for the connection.
func TestOversize(t *testing.T) {
	d := newDesk(t)
	address := d.listen(t, func(o *inbound.Options) { o.Limits.MessageSize = 20_000 })
	to := d.address(t, verp.Bounce)
	c := greeted(t, address)
	c.say("MAIL FROM:<> SIZE=20001", "552 5.3.4")
	c.say("MAIL FROM:<> SIZE=99999999999999999999", "552 5.3.4")
	c.deliver(to, hard()+strings.Repeat("x\r\n", 20_000), "552 5.3.4")
	c.deliver(to, hard(), "250")
	if len(d.told()) != 1 {
		t.Error("want one event")
	}
	c = greeted(t, address)
	c.send("MAIL FROM:<>\r\nRCPT TO:<" + to.String() + ">\r\nBDAT 4000000000 LAST\r\n")
	c.expect("250")
	c.expect("250")
	c.expect("552 5.3.4")
	c.closed()
}

// TestSmuggling: an end of data that is none ends nothing, so that what follows
// is no command.
func TestSmuggling(t *testing.T) {
	d := newDesk(t)
	address := d.listen(t)
	to := d.address(t, verp.Bounce)
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r\r\n", "\r\r\n.\r\n "} {
		c := greeted(t, address)
		c.deliver(to, "Subject: x\r\n\r\ntext"+end+"MAIL FROM:<>\r\nRCPT TO:<"+to.String()+">\r\nDATA\r\nSubject: y\r\n\r\nmore\r\n", "250")
		c.say("NOOP", "250") // one reply, and no other before this one
		if told := d.told(); len(told) > 0 {
			t.Errorf("%q: %+v", end, told)
		}
		c.send("NOOP\n") // a bare LF ends no command
		c.expect("500")
	}
	c := greeted(t, address)
	c.send("MAIL FROM:<>\r\nRCPT TO:<" + to.String() + ">\r\nBDAT 4 LAST\r\nabc") // and the connection ends
	c.expect("250")
	c.expect("250")
	c.conn.Close()
	if told := d.told(); len(told) > 0 {
		t.Errorf("a part was taken: %+v", told)
	}
}

// TestSlowClients: silence ends a connection, and so does a life of drops.
func TestSlowClients(t *testing.T) {
	d := newDesk(t)
	to := d.address(t, verp.Bounce)
	c := greeted(t, d.listen(t, func(o *inbound.Options) { o.Limits.Idle = 200 * time.Millisecond }))
	c.say("MAIL FROM:<>", "250")
	c.say("RCPT TO:<"+to.String()+">", "250")
	c.say("DATA", "354")
	c.send("Subject: x\r\n")
	c.expect("421 4.4.2")
	io.WriteString(c.conn, "\r\n.\r\n")
	c.closed()

	other := newDesk(t)
	c = greeted(t, other.listen(t, func(o *inbound.Options) { o.Limits.Session = 500 * time.Millisecond }))
	c.say("MAIL FROM:<>", "250")
	c.say("RCPT TO:<"+other.address(t, verp.Bounce).String()+">", "250")
	c.say("DATA", "354")
	for {
		if _, err := io.WriteString(c.conn, "x"); err != nil {
			break
		}
		c.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if line, err := c.in.ReadString('\n'); err == nil {
			if !strings.HasPrefix(line, "421") {
				t.Errorf("%q", line)
			}
			break
		}
	}
	if len(d.told())+len(other.told()) > 0 {
		t.Error("a part was taken")
	}
}

// TestLimits: connections, recipients, and messages in a minute.
func TestLimits(t *testing.T) {
	d := newDesk(t)
	address := d.listen(t, func(o *inbound.Options) {
		o.Limits.ConnectionsPerIP, o.Limits.Recipients, o.Limits.PerMinute = 2, 1, 3
	})
	c := greeted(t, address)
	second := greeted(t, address)
	dial(t, address).expect("421 4.7.0")
	c.say("MAIL FROM:<>", "250")
	c.say("RCPT TO:<"+d.address(t, verp.Bounce).String()+">", "250")
	c.say("RCPT TO:<"+d.address(t, verp.Complaint).String()+">", "452 4.5.3")
	c.say("RSET", "250")
	second.say("MAIL FROM:<>", "250")
	second.say("RSET", "250")
	c.say("MAIL FROM:<>", "250")
	c.say("RSET", "250")
	c.say("MAIL FROM:<>", "450 4.7.1")
	second.say("MAIL FROM:<>", "450 4.7.1")
}

// TestStartTLS: TLS where there is a certificate, and nothing said in the clear
// lives on.
func TestStartTLS(t *testing.T) {
	certificate, authority, err := testmx.SelfSigned("mx.example.com")
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t)
	c := dial(t, d.listen(t, func(o *inbound.Options) { o.TLS = certificate }))
	c.expect("220")
	if offered := c.say("EHLO mx.example.net", "250"); !strings.Contains(offered, "STARTTLS") {
		t.Errorf("offered %q", offered)
	}
	c.say("STARTTLS", "220")
	secure := tls.Client(c.conn, &tls.Config{RootCAs: authority, ServerName: "mx.example.com"})
	if err := secure.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.conn = secure
	c.in.Reset(secure)
	if offered := c.say("EHLO mx.example.net", "250"); strings.Contains(offered, "REQUIRETLS") {
		t.Errorf("offered %q", offered)
	}
	c.deliver(d.address(t, verp.Bounce), hard(), "250")
	if len(d.told()) != 1 {
		t.Error("want one event")
	}
}

// TestShutdown: a message under way is finished, and its answer true.
func TestShutdown(t *testing.T) {
	d := newDesk(t)
	s := d.server(t)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background()) }()
	c := greeted(t, s.Addresses()[0].String())
	c.say("MAIL FROM:<>", "250")
	c.say("RCPT TO:<"+d.address(t, verp.Bounce).String()+">", "250")
	c.say("DATA", "354")
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	c.send(hard() + ".\r\n")
	c.expect("250")
	c.expect("421")
	c.closed()
	if err := errors.Join(<-stopped, <-done); err != nil {
		t.Error(err)
	}
	if len(d.told()) != 1 {
		t.Error("want one event")
	}
}

// FuzzReceive: no message has more of an effect than its address allows, and
// none a fault.
func FuzzReceive(f *testing.F) {
	f.Add([]byte(hard()))
	f.Add([]byte(outOfOffice))
	f.Add([]byte(feedback("abuse", "", "Return-Path: <b-x@bounce.example.com>\r\n")))
	f.Add([]byte(nil))
	d := newDesk(f)
	s := d.server(f)
	to := map[event.Type]string{
		event.Bounced: d.address(f, verp.Bounce).String(), event.Complained: "complaints@bounce.example.com",
		event.Unsubscribed: d.address(f, verp.Unsubscribe).String(),
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		before := bytes.Clone(message)
		for kind, address := range to {
			if err := hand(t, s, string(message), parse(t, address)); err != nil {
				t.Fatal(err)
			}
			for _, e := range d.told() {
				if e.Type != kind && !(kind == event.Bounced && e.Type == event.Complained) || e.Message != d.message.String() || e.Index != 3 {
					t.Errorf("%+v", e)
				}
			}
		}
		if !bytes.Equal(before, message) {
			t.Error("the message was changed")
		}
	})
}

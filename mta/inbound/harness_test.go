package inbound_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/report"
	"github.com/postrider-mta/postrider/mta/bounce/verp"
	"github.com/postrider-mta/postrider/mta/inbound"
	"github.com/postrider-mta/postrider/mta/submission"
	"github.com/postrider-mta/postrider/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	domain = mail.Domain("bounce.example.com")
	reader = "reader@example.net"
)

// desk keeps what came of the mail.
type desk struct {
	codec   *verp.Codec
	message queue.ID
	metrics *prometheus.Registry

	mu       sync.Mutex
	events   []event.Event
	left     []string // tenant, stream and address
	accepted []queue.Submission
	// failure is what every write fails with.
	failure error
	// lost: the events of the message have expired.
	lost bool
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	keys, err := verp.NewKeyring(1, map[uint8][]byte{1: bytes.Repeat([]byte("k"), 32)})
	if err != nil {
		t.Fatal(err)
	}
	return &desk{codec: verp.New(keys), message: queue.NewID(time.Now()), metrics: prometheus.NewRegistry()}
}

func (d *desk) options() inbound.Options {
	return inbound.Options{
		Hostname: "mx.example.com", Listen: []string{"127.0.0.1:0"}, Codec: d.codec, Parser: report.New(bounce.New()),
		Domains:    func(name mail.Domain) bool { return name == domain },
		Tenant:     func(number uint32) (string, bool) { return "shop", number == verp.TenantNumber("shop") },
		Complaints: "complaints", Origin: d.origin, Record: d.record, Unsubscribe: d.unsubscribe, Metrics: d.metrics,
	}
}

func (d *desk) origin(message string, index int) (event.Event, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lost || message != d.message.String() {
		return event.Event{}, false, nil
	}
	return event.Event{Tenant: "shop", Stream: "marketing", Recipient: reader, Message: message, Index: index}, true, nil
}

func (d *desk) record(_ context.Context, events []event.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failure == nil {
		d.events = append(d.events, events...)
	}
	return d.failure
}

func (d *desk) unsubscribe(_ context.Context, tenant, stream string, address mail.Address, _ string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failure == nil {
		d.left = append(d.left, tenant+" "+stream+" "+address.String())
	}
	return d.failure
}

func (d *desk) accept(_ context.Context, s *queue.Submission) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept := *s
	kept.Body = slices.Clone(s.Body)
	if d.failure == nil {
		d.accepted = append(d.accepted, kept)
	}
	return d.failure
}

func (d *desk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failure = err
}

// told returns the events so far, and forgets them.
func (d *desk) told() []event.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	told := d.events
	d.events = nil
	return told
}

// address is that of a token for recipient 3 of the message.
func (d *desk) address(t testing.TB, kind verp.Kind) mail.Address {
	t.Helper()
	a, err := d.codec.Address(kind, verp.ID{Message: d.message, Index: 3, Tenant: verp.TenantNumber("shop")}, domain)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// server makes a server that is never heard: for what needs no wire.
func (d *desk) server(t testing.TB, change ...func(*inbound.Options)) *inbound.Server {
	t.Helper()
	o := d.options()
	for _, c := range change {
		c(&o)
	}
	s, err := inbound.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return s
}

// hand gives the server a message as the wire would.
func hand(t testing.TB, s *inbound.Server, message string, to ...mail.Address) error {
	t.Helper()
	for _, a := range to {
		if err := s.Recipient(a); err != nil {
			return err
		}
	}
	return s.Receive(t.Context(), submission.Received{
		Client: netip.MustParseAddr("192.0.2.1"), Greeted: "mx.example.net", Protocol: "ESMTP", Recipients: to, Message: []byte(message),
	})
}

// listen serves, and returns the address.
func (d *desk) listen(t testing.TB, change ...func(*inbound.Options)) string {
	t.Helper()
	s := d.server(t, change...)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-done); err != nil {
			t.Error(err)
		}
	})
	return s.Addresses()[0].String()
}

// client speaks SMTP, word for word.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func dial(t testing.TB, address string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t, conn, bufio.NewReader(conn)}
}

// greeted is a client that has said EHLO.
func greeted(t testing.TB, address string) *client {
	t.Helper()
	c := dial(t, address)
	c.expect("220 mx.example.com")
	c.say("EHLO mx.example.net", "250")
	return c
}

func (c *client) send(raw string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(raw)); err != nil {
		c.t.Fatal(err)
	}
}

// expect reads a reply, whose last line must begin with want.
func (c *client) expect(want string) string {
	c.t.Helper()
	var reply strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatalf("want %q: %v after %q", want, err, reply.String())
		}
		reply.WriteString(line)
		if len(line) < 4 || line[3] != '-' {
			if !strings.HasPrefix(line, want) {
				c.t.Fatalf("got %q, want %q", line, want)
			}
			return reply.String()
		}
	}
}

func (c *client) say(line, want string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.expect(want)
}

// closed expects that nothing more comes.
func (c *client) closed() {
	c.t.Helper()
	if rest, err := c.in.ReadString('\n'); err == nil {
		c.t.Fatalf("the connection is open: %q", rest)
	}
}

// deliver sends a whole message from the null sender.
func (c *client) deliver(to mail.Address, message, want string) {
	c.t.Helper()
	c.say("MAIL FROM:<>", "250")
	c.say("RCPT TO:<"+to.String()+">", "250")
	c.say("DATA", "354")
	c.send(strings.ReplaceAll(message, "\r\n.", "\r\n..") + ".\r\n")
	c.expect(want)
}

// status is a delivery status notification of one recipient.
func status(fields ...string) string {
	return "From: MAILER-DAEMON@mx.example.net\r\nSubject: Report\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n--x\r\n\r\nSee below.\r\n" +
		"--x\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n" +
		strings.Join(fields, "\r\n") + "\r\n--x--\r\n"
}

func failedWith(status, diagnostic string) []string {
	return []string{"Final-Recipient: rfc822; " + reader, "Action: failed", "Status: " + status, "Diagnostic-Code: smtp; " + diagnostic}
}

// feedback is a report in the abuse reporting format about a message with that
// header.
func feedback(kind, fields, header string) string {
	return "From: fbl@provider.example\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/report; report-type=feedback-report; boundary=x\r\n\r\n--x\r\n\r\nA complaint.\r\n" +
		"--x\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: " + kind + "\r\nUser-Agent: x/1\r\nVersion: 1\r\n" + fields +
		"--x\r\nContent-Type: message/rfc822\r\n\r\nFrom: shop@example.com\r\n" + header + "\r\nHello.\r\n--x--\r\n"
}

package smtpclient

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func recipients(t testing.TB, addresses ...string) []mail.Recipient {
	t.Helper()
	out := make([]mail.Recipient, len(addresses))
	for i, a := range addresses {
		out[i].Address = address(t, a)
	}
	return out
}

func transactionTo(t testing.TB, addresses ...string) Transaction {
	t.Helper()
	return Transaction{
		Envelope:   mail.Envelope{From: address(t, "sender@example.com")},
		Recipients: recipients(t, addresses...),
		Message:    [][]byte{[]byte("Subject: hello\r\n\r\n"), []byte("text\r\n")},
	}
}

func dial(t testing.TB, addr netip.AddrPort, o Options) *Client {
	t.Helper()
	c, err := tryDial(t, addr, o)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return c
}

func tryDial(t testing.TB, addr netip.AddrPort, o Options) (*Client, error) {
	t.Helper()
	if o.LocalName == "" {
		o.LocalName = "client.example"
	}
	c, err := Dial(t.Context(), addr, "mx.test", o)
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

func send(t testing.TB, c *Client, tx Transaction) []Answer {
	t.Helper()
	answers, err := c.Send(t.Context(), tx)
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	return answers
}

// failure demands an *Error at a command.
func failure(t testing.TB, err error, command Command) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if e.Command != command {
		t.Fatalf("failed at %s (%v), want %s", e.Command, e, command)
	}
	if strings.Contains(e.Error(), "@") {
		t.Fatalf("address in %q", e)
	}
	return e
}

func noViolations(t testing.TB, server *testmx.Server) {
	t.Helper()
	if v := server.Violations(); len(v) > 0 {
		t.Errorf("violations: %q", v)
	}
}

// codes writes answers as "RCPT 550" or "-" for undecided.
func codes(answers []Answer) string {
	var out []string
	for _, a := range answers {
		if a == (Answer{}) {
			out = append(out, "-")
			continue
		}
		out = append(out, string(a.Command)+" "+mail.Reply{Code: a.Reply.Code, Enhanced: a.Reply.Enhanced}.String())
	}
	return strings.Join(out, ", ")
}

func join(pieces [][]byte) []byte { return bytes.Join(pieces, nil) }

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

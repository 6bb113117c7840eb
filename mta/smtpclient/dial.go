package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Dial connects to addr and leads the dialogue up to the point where mail can
// be sent: greeting, EHLO, STARTTLS as far as o.TLS asks for it, AUTH.
// serverName is the name that the server's certificate is checked against.
// Every error is an *Error.
//
// Where an opportunistic STARTTLS handshake fails, the error wraps
// ErrHandshake: the connection is dead, and dialling again with mail.TLSNone
// is what RFC 7435 section 3 allows.
func Dial(ctx context.Context, addr netip.AddrPort, serverName string, o Options) (*Client, error) {
	o.Timeouts = o.Timeouts.withDefaults()
	conn, err := connect(ctx, addr, o)
	if err != nil {
		return nil, &Error{Command: Connect, Scope: connectScope(ctx, err), Err: plainError(err)}
	}
	c := newClient(conn, serverName, o)
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func connect(ctx context.Context, addr netip.AddrPort, o Options) (net.Conn, error) {
	dialer := net.Dialer{Timeout: o.Timeouts.Connect}
	var local netip.AddrPort
	if o.LocalAddr.IsValid() {
		local = netip.AddrPortFrom(o.LocalAddr, 0)
	}
	conn, err := dialer.DialTCP(ctx, "tcp", local, addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	return conn, nil
}

// connectScope blames the site, except for what is our own doing.
func connectScope(ctx context.Context, err error) mail.Scope {
	if ctx.Err() != nil {
		return mail.ScopeSession
	}
	for _, ours := range []error{syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS} {
		if errors.Is(err, ours) {
			return mail.ScopeSession
		}
	}
	return mail.ScopeSite
}

// open leads a fresh connection to the point where mail can be sent.
func (c *Client) open(ctx context.Context) error {
	return c.session(ctx, func() error {
		for _, step := range []func() error{c.implicitTLS, c.greet, c.hello, c.startTLS, c.authenticate} {
			if err := step(); err != nil {
				return err
			}
		}
		c.ready = true
		return nil
	})
}

func (c *Client) greet() error {
	reply, err := c.read(Greeting)
	if err != nil {
		return err
	}
	if !reply.Positive() {
		return c.fail(Greeting, reply, nil)
	}
	c.greeting = reply
	return nil
}

// hello says EHLO, and HELO to a server that refuses it for good (RFC 5321
// section 3.2).
func (c *Client) hello() error {
	name, err := c.localName()
	if err != nil {
		return c.fail(EHLO, mail.Reply{}, err)
	}
	c.offer = offer{}
	reply, err := c.command(EHLO, "EHLO "+name)
	if err != nil {
		return err
	}
	if reply.Positive() {
		c.offer = parseOffer(string(c.replies.text))
		return nil
	}
	if reply.Permanent() {
		if reply, err = c.command(EHLO, "HELO "+name); err != nil {
			return err
		}
	}
	if !reply.Positive() {
		return c.fail(EHLO, reply, nil)
	}
	return nil
}

// localName falls back to an address literal (RFC 5321 section 4.1.4).
func (c *Client) localName() (string, error) {
	name := c.options.LocalName
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("local name %q cannot be sent", name)
	}
	if name != "" {
		return name, nil
	}
	addr := c.LocalAddr().Addr()
	if addr.Is6() {
		return "[IPv6:" + addr.WithZone("").String() + "]", nil
	}
	return "[" + addr.String() + "]", nil
}

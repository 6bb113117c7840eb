package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
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
	c, err := attempt(ctx, addr, serverName, o)
	if err != nil && c != nil && c.outdated {
		// The session, which crypto/tls has forgotten by now, was made with a
		// certificate that holds no more: what the server has now is not known.
		c, err = attempt(ctx, addr, serverName, o)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// attempt returns the client beside the error where there was a connection.
func attempt(ctx context.Context, addr netip.AddrPort, serverName string, o Options) (*Client, error) {
	conn, err := connect(ctx, addr, o)
	if err != nil {
		return nil, connectError(ctx, err)
	}
	c := newClient(conn, serverName, o)
	return c, c.open(ctx)
}

func connect(ctx context.Context, addr netip.AddrPort, o Options) (net.Conn, error) {
	within, cancel := context.WithTimeout(ctx, o.Timeouts.Connect)
	defer cancel()
	conn, err := dialer(o)(within, "tcp", addr.String())
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	return conn, nil
}

// dialer is the one of the options, or the network's, from the local address.
func dialer(o Options) func(ctx context.Context, network, address string) (net.Conn, error) {
	if o.Dial != nil {
		return o.Dial
	}
	straight := &net.Dialer{}
	if o.LocalAddr.IsValid() {
		straight.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.LocalAddr, 0))
	}
	return straight.DialContext
}

// connectError blames the site, except for what is our own doing.
func connectError(ctx context.Context, err error) *Error {
	failed := &Error{Command: Connect, Scope: mail.ScopeSite, Err: plainError(err)}
	if ctx.Err() != nil {
		failed.Scope = mail.ScopeSession
		return failed
	}
	if sourceFault(err) {
		failed.Scope, failed.Err = mail.ScopeSession, fmt.Errorf("%w: %w", ErrSource, failed.Err)
	}
	for _, ours := range exhaustion() {
		if errors.Is(err, ours) {
			failed.Scope = mail.ScopeSession
		}
	}
	return failed
}

// exhaustion are the failures of a machine that has run out of something,
// whatever the source and the site.
func exhaustion() []error {
	return []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS}
}

// sourceFault reports that our own end failed: the address cannot be bound or
// has no port left, or what dialled says so.
func sourceFault(err error) bool {
	if blamed, ok := errors.AsType[interface {
		error
		SourceFault() bool
	}](err); ok {
		return blamed.SourceFault()
	}
	for _, other := range exhaustion() {
		if errors.Is(err, other) {
			return false
		}
	}
	call, ok := errors.AsType[*os.SyscallError](err)
	return errors.Is(err, syscall.EADDRNOTAVAIL) || ok && call.Syscall == "bind"
}

// open leads a fresh connection to the point where mail can be sent.
func (c *Client) open(ctx context.Context) error {
	return c.session(ctx, func() error {
		for _, step := range []func() error{c.implicitTLS, c.greet, c.hello, c.startTLS, c.requireTLS, c.authenticate} {
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

package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// Protocol is what a proxy speaks.
type Protocol uint8

const (
	// SOCKS5 is RFC 1928, with user name and password (RFC 1929) where they
	// are set. The proxy says whether it reached the target.
	SOCKS5 Protocol = iota
	// PROXYv2 begins the connection with a header of the PROXY protocol: from
	// which address the proxy shall connect, and to which. The proxy says
	// nothing: a target that it cannot reach is a connection that ends before
	// its greeting.
	PROXYv2
)

// String returns the protocol's name.
func (p Protocol) String() string {
	switch p {
	case SOCKS5:
		return "SOCKS5"
	case PROXYv2:
		return "PROXY v2"
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

// Options of a Proxy.
type Options struct {
	Protocol Protocol
	// Address is the host and port of the proxy.
	Address string
	// Username and Password for SOCKS5; empty for none.
	Username, Password string
	// IPv4 and IPv6 are the addresses that the proxy shall connect from.
	// PROXYv2 needs the one of the target's family. SOCKS5 has no word for
	// them; there they stand for the proxy's address where it does not tell.
	IPv4, IPv6 netip.Addr
	// Bind asks a SOCKS5 proxy to connect from IPv4 or IPv6, by a BIND request
	// before CONNECT. RFC 1928 knows no such use of BIND; KumoMTA's proxy does.
	Bind bool
	// ReachTimeout bounds the time until the proxy is ready for the target;
	// 10 seconds if zero.
	ReachTimeout time.Duration
}

// Proxy opens connections through a proxy. It is safe for concurrent use, and
// printing it shows no secret.
type Proxy struct {
	protocol    Protocol
	address     string
	credentials credentials
	ipv4, ipv6  netip.Addr
	bind        bool
	reach       time.Duration
}

// credentials are behind pointers so that printing a struct around a Proxy
// shows where they are, not what. There are both or none.
type credentials struct{ username, password *string }

// ErrOptions is wrapped by the errors of New.
var ErrOptions = errors.New("invalid proxy")

// New returns a Proxy. Nothing is connected to.
func New(o Options) (*Proxy, error) {
	if _, port, err := net.SplitHostPort(o.Address); err != nil || port == "" {
		return nil, fmt.Errorf("%w: %q is no host and port", ErrOptions, o.Address)
	}
	p := &Proxy{
		protocol: o.Protocol, address: o.Address,
		ipv4: o.IPv4, ipv6: o.IPv6, bind: o.Bind, reach: o.ReachTimeout,
	}
	if p.reach <= 0 {
		p.reach = 10 * time.Second
	}
	if o.Username != "" || o.Password != "" {
		p.credentials = credentials{&o.Username, &o.Password}
	}
	return p, p.check()
}

func (p *Proxy) check() error {
	sources := p.ipv4.IsValid() || p.ipv6.IsValid()
	switch {
	case p.protocol > PROXYv2:
		return fmt.Errorf("%w: %v", ErrOptions, p.protocol)
	case p.ipv4.IsValid() && !p.ipv4.Is4(), p.ipv6.IsValid() && (!p.ipv6.Is6() || p.ipv6.Is4In6()):
		return fmt.Errorf("%w: source address of the wrong family", ErrOptions)
	case (p.protocol == PROXYv2 || p.bind) && !sources:
		return fmt.Errorf("%w: %v needs a source address", ErrOptions, p.protocol)
	case p.protocol == PROXYv2 && (p.credentials.given() || p.bind):
		return fmt.Errorf("%w: %v has neither credentials nor BIND", ErrOptions, p.protocol)
	case p.credentials.given() && !p.credentials.fit():
		return fmt.Errorf("%w: user name and password have 1 to 255 octets each", ErrOptions)
	}
	return nil
}

func (c credentials) given() bool { return c.username != nil }

// fit reports that the lengths are those that RFC 1929 can carry.
func (c credentials) fit() bool {
	fits := func(s string) bool { return len(s) >= 1 && len(s) <= 255 }
	return fits(*c.username) && fits(*c.password)
}

// String returns protocol and address of the proxy.
func (p *Proxy) String() string { return p.protocol.String() + " " + p.address }

// Format writes String for every verb.
func (p *Proxy) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// Dial connects to address, an IP address and port, over TCP. The connection's
// ends are those that the target sees, as far as they are known. Every error
// is an *Error, or that of ctx where ctx ended.
func (p *Proxy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	target, err := parseTarget(network, address)
	if err != nil {
		return nil, &Error{Step: Target, Err: err}
	}
	base, err := p.ready(ctx, target)
	if err != nil {
		return nil, err
	}
	bound, err := p.request(ctx, base, target)
	if err != nil {
		_ = base.Close() // it carried nothing
		return nil, err
	}
	return &conn{base, net.TCPAddrFromAddrPort(p.local(bound, target)), net.TCPAddrFromAddrPort(target)}, nil
}

func parseTarget(network, address string) (netip.AddrPort, error) {
	target, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp" && network != "tcp4" && network != "tcp6" {
		return target, errors.New("not an address and port of TCP")
	}
	return netip.AddrPortFrom(target.Addr().Unmap().WithZone(""), target.Port()), nil
}

// ready returns a connection to the proxy, which waits for the target's
// address.
func (p *Proxy) ready(ctx context.Context, target netip.AddrPort) (*net.TCPConn, error) {
	if p.needsSource() && !p.source(target).IsValid() {
		return nil, &Error{Step: SourceAddress, Err: errFamily(target)}
	}
	within, cancel := context.WithTimeout(ctx, p.reach)
	defer cancel()
	dialled, err := (&net.Dialer{}).DialContext(within, "tcp", p.address)
	if err != nil {
		return nil, broken(ctx, Connect, err)
	}
	base, ok := dialled.(*net.TCPConn)
	if !ok {
		_ = dialled.Close() // a dialler of "tcp" makes no other kind
		return nil, &Error{Step: Connect, Err: errors.New("not a TCP connection")}
	}
	if p.protocol == SOCKS5 {
		err = during(within, base, func() error { return p.greet(base, target) })
	}
	if err != nil {
		_ = base.Close() // it carried nothing
		return nil, broken(ctx, Greeting, err)
	}
	return base, nil
}

// request names the target, and returns the address that the proxy says it
// connects from.
func (p *Proxy) request(ctx context.Context, base *net.TCPConn, target netip.AddrPort) (bound netip.AddrPort, err error) {
	step := Target
	err = during(ctx, base, func() error {
		if p.protocol == PROXYv2 {
			step = Connect // whatever fails here, the target was not asked yet
			return writeHeader(base, p.source(target), target)
		}
		bound, err = exchange(base, commandConnect, target, Target)
		return err
	})
	if err != nil {
		return bound, broken(ctx, step, err)
	}
	return bound, nil
}

// during runs an exchange that the end of ctx interrupts.
func during(ctx context.Context, base net.Conn, exchange func() error) error {
	stop := context.AfterFunc(ctx, func() {
		_ = base.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection
	})
	err := exchange()
	if !stop() && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (p *Proxy) needsSource() bool { return p.protocol == PROXYv2 || p.bind }

// source returns our address of the target's family.
func (p *Proxy) source(target netip.AddrPort) netip.Addr {
	if target.Addr().Is4() {
		return p.ipv4
	}
	return p.ipv6
}

// local returns the address that the target sees: what the proxy said, or else
// what it was set up to use.
func (p *Proxy) local(bound, target netip.AddrPort) netip.AddrPort {
	if bound.Addr().IsValid() && !bound.Addr().IsUnspecified() {
		return bound
	}
	return netip.AddrPortFrom(p.source(target), 0)
}

// conn is a connection whose ends are those behind the proxy. It embeds the
// TCP connection itself, so that the system still gathers writes.
type conn struct {
	*net.TCPConn
	local, remote *net.TCPAddr
}

// LocalAddr returns the end that the target sees; its address is invalid where
// that is not known.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the target, not the proxy.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

package submission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/pires/go-proxyproto"
)

// peer is one connection and the client at its other end.
type peer struct {
	server   *Server
	metrics  *metrics
	listener Listener
	limits   Limits
	tls      *tls.Config // nil if TLS is not offered
	address  netip.Addr  // the client's; invalid for unix and unknown ones
	local    bool        // unix socket or loopback
	trusted  bool        // may submit without AUTH

	wire         *wire
	session      *session
	secure       bool   // TLS is active
	extended     bool   // EHLO, not HELO
	argument     string // of the MAIL or RCPT being executed
	errors       int
	messages     int
	authFailures int
}

// serve handles a new connection to its end.
func (s *Server) serve(raw net.Conn, l Listener) {
	s.metrics.open.WithLabelValues(l.Name).Inc()
	defer s.metrics.open.WithLabelValues(l.Name).Dec()
	current := s.state.Load()
	p := &peer{server: s, metrics: s.metrics, listener: l, limits: current.limits}
	if l.TLS != TLSNone {
		p.tls = current.tls[l.Name]
	}
	p.wire = newWire(raw, p, p.limits.Idle, p.limits.Write, time.Now().Add(p.limits.Session))
	defer raw.Close()
	defer s.release(p.wire)
	result := connectionServed
	if s.track(p.wire) {
		result = p.run(raw)
	}
	s.metrics.connections.WithLabelValues(l.Name, result).Inc()
}

// run returns how the connection is counted.
func (p *peer) run(socket net.Conn) string {
	socket.SetDeadline(time.Now().Add(p.limits.Handshake))
	stream, err := p.identify(socket)
	if err != nil {
		p.log("bad PROXY header", err)
		return connectionProxy
	}
	p.wire.stream = stream
	leave, ok := p.server.peers.enter(p.address, p.limits)
	defer leave()
	if !ok {
		p.refuseConnection()
		return connectionLimited
	}
	if p.listener.TLS == TLSImplicit {
		if err := p.handshake(); err != nil {
			p.log("TLS handshake failed", err)
			return connectionTLS
		}
		p.wire.swallow = false
	}
	socket.SetDeadline(time.Time{})
	if p.speak(); !p.wire.upgrading {
		return connectionServed
	}
	socket.SetDeadline(time.Now().Add(p.limits.Handshake))
	if err := p.handshake(); err != nil {
		p.log("TLS handshake failed", err)
		return connectionTLS
	}
	socket.SetDeadline(time.Time{})
	p.speak()
	return connectionServed
}

func (p *peer) log(message string, err error) {
	p.server.logger.Log(context.Background(), slog.LevelDebug, message,
		"listener", p.listener.Name, "client", p.address, "error", err)
}

// identify learns who the client is, from a PROXY header where its network
// must send one.
func (p *peer) identify(raw net.Conn) (net.Conn, error) {
	address, unix := remote(raw.RemoteAddr())
	known := true
	if contains(p.listener.ProxyNetworks, address) {
		proxied := proxyproto.NewConn(raw,
			proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(p.limits.Handshake))
		header := proxied.ProxyHeader()
		if header == nil {
			return raw, errors.New("missing or malformed")
		}
		raw = proxied
		// LOCAL is the proxy itself; version 1 says UNKNOWN with it.
		if !header.Command.IsLocal() || header.Version == 1 {
			address, known = proxiedAddress(header)
		}
	}
	p.address = address
	p.local = known && (unix || address.IsLoopback())
	p.trusted = known && p.listener.Tenant != "" && (unix || contains(p.listener.TrustedNetworks, address))
	return raw, nil
}

// proxiedAddress is not known where the proxy says UNKNOWN, and such a client
// is trusted with nothing.
func proxiedAddress(header *proxyproto.Header) (address netip.Addr, known bool) {
	if header.SourceAddr == nil || !header.TransportProtocol.IsStream() {
		return netip.Addr{}, false
	}
	if _, ok := header.SourceAddr.(*net.TCPAddr); !ok {
		return netip.Addr{}, false
	}
	address, _ = remote(header.SourceAddr)
	return address, address.IsValid()
}

func remote(a net.Addr) (address netip.Addr, unix bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		_, unix = a.(*net.UnixAddr)
		return netip.Addr{}, unix
	}
	return tcp.AddrPort().Addr().Unmap().WithZone(""), false
}

func contains(networks []netip.Prefix, address netip.Addr) bool {
	for _, network := range networks {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// refuseConnection says why, where that can be done without TLS.
func (p *peer) refuseConnection() {
	r := refuse(421, smtp.EnhancedCode{4, 7, 0}, reasonLimit, "too many connections, try again later")
	p.metrics.refused(r)
	if p.listener.TLS != TLSImplicit {
		p.wire.leave(r)
	}
}

// handshake puts TLS on the wire. After a failure nothing more is said.
func (p *peer) handshake() error {
	ctx, cancel := context.WithTimeout(p.server.background, p.limits.Handshake)
	defer cancel()
	conn := tls.Server(p.wire.stream, p.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	p.secure = true
	p.wire.secure(conn)
	return nil
}

// speak runs go-smtp on the wire until it closes it. Each run has a server of
// its own, so that limits and TLS are those of this connection.
func (p *peer) speak() {
	p.session = &session{peer: p}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		p.session.conn = c
		return p.session, nil
	}))
	server.Domain = p.server.options.Hostname
	server.MaxMessageBytes = p.limits.MessageSize
	server.MaxLineLength = 0 // the wire bounds lines
	server.AllowInsecureAuth = true
	server.EnableSMTPUTF8 = true
	// A Receiver reports to nobody, and hands on nobody's demands.
	queues := p.server.options.Receiver == nil
	server.EnableDSN = queues
	server.EnableREQUIRETLS = p.secure && queues
	p.wire.requireTLS = queues
	server.ErrorLog = smtpLog{p.server.logger}
	if p.tls != nil && !p.secure {
		server.TLSConfig = p.tls // makes it offer STARTTLS, which the wire answers
	}
	// Serve ends at once, having started the one connection there is.
	server.Serve(&oneConnection{conn: p.wire})
	server.Shutdown(context.Background())
	p.session.Reset()
}

// oneConnection is a net.Listener that hears one client.
type oneConnection struct{ conn net.Conn }

// Accept returns the connection the first time.
func (o *oneConnection) Accept() (net.Conn, error) {
	if o.conn == nil {
		return nil, net.ErrClosed
	}
	conn := o.conn
	o.conn = nil
	return conn, nil
}

// Close does nothing: the connection has its own end.
func (o *oneConnection) Close() error { return nil }

// Addr is asked by nobody.
func (o *oneConnection) Addr() net.Addr { return &net.UnixAddr{} }

// smtpLog brings what go-smtp says to the log: only panics are left of it.
type smtpLog struct{ logger *slog.Logger }

// Printf logs an error.
func (l smtpLog) Printf(format string, v ...any) {
	l.logger.Error("internal error in a connection", "error", fmt.Sprintf(format, v...))
}

// Println logs an error.
func (l smtpLog) Println(v ...any) {
	l.logger.Error("internal error in a connection", "error", fmt.Sprint(v...))
}

// busy implements front.
func (p *peer) busy() bool { return p.session != nil && p.session.tx != nil }

package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Client is one connection to one server, ready for transactions: one after
// the other by Send, or several in flight by Begin and Results. Only Close may
// be called while another method runs.
type Client struct {
	options Options
	// serverName is what a certificate is checked against.
	serverName string
	wire       *wire
	replies    *replyReader
	// out collects the commands of a flight, data writes messages.
	out      []byte
	data     *dataWriter
	greeting mail.Reply
	offer    offer
	state    *tls.ConnectionState
	// untrusted says why the server is not known to be who it should be;
	// outdated that this was found of a session that was resumed.
	untrusted error
	outdated  bool
	// ready holds once Dial succeeded, transacted once MAIL was answered.
	ready, transacted bool
	// dirty holds while the server may have a transaction open that nothing
	// ended.
	dirty bool
	// failure is why the connection is of no more use.
	failure *Error
	// flight is what was begun and is not answered yet.
	flight flight
}

// newClient prepares a client over a fresh connection; o has its defaults.
func newClient(conn net.Conn, serverName string, o Options) *Client {
	c := &Client{options: o, serverName: serverName}
	c.flight.results = make(chan Result, maxWindow)
	c.flight.window.size, c.flight.single = 1, o.OneAtATime
	c.flight.spoken.L = &c.flight.mu
	c.setWire(newWire(conn))
	return c
}

func (c *Client) setWire(w *wire) {
	c.wire = w
	c.replies = newReplyReader(w, c.options.MaxReplyOctets, c.options.MaxReplyLines)
}

// Extensions returns what the server offered last: under TLS what it offered
// there.
func (c *Client) Extensions() Extensions { return c.offer.Extensions }

// TLS returns the state of the encryption, or nil in the clear. Whether the
// peer's certificate is verified says Security.
func (c *Client) TLS() *tls.ConnectionState { return c.state }

// Greeting returns the server's first reply.
func (c *Client) Greeting() mail.Reply { return c.greeting }

// ServerName returns the name that Dial was given.
func (c *Client) ServerName() string { return c.serverName }

// LocalAddr returns our end of the connection.
func (c *Client) LocalAddr() netip.AddrPort { return addrPort(c.wire.base.LocalAddr()) }

// RemoteAddr returns the server's end of the connection.
func (c *Client) RemoteAddr() netip.AddrPort { return addrPort(c.wire.base.RemoteAddr()) }

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// Reset sends RSET: it proves that an idle connection still serves. The error
// is an *Error.
func (c *Client) Reset(ctx context.Context) error {
	return c.session(ctx, c.reset)
}

func (c *Client) reset() error {
	reply, err := c.command(RSET, "RSET")
	if err != nil {
		return err
	}
	if !reply.Positive() {
		return c.fail(RSET, reply, nil)
	}
	c.dirty = false
	return nil
}

// Quit takes leave of the server and closes the connection, whatever the
// server says; at once where transactions are under way. The error is an
// *Error.
func (c *Client) Quit(ctx context.Context) error {
	if c.flight.busy() {
		return c.Close()
	}
	err := c.session(ctx, func() error {
		_, err := c.command(QUIT, "QUIT")
		return err
	})
	if c.failure == nil {
		_ = c.fail(QUIT, mail.Reply{}, ErrClosed) // closes; there is nobody to tell
	}
	return err
}

// Close ends the connection without a word. It may be called at any time and
// interrupts what runs; the results of what is under way have come when it
// returns.
func (c *Client) Close() error {
	c.wire.interrupt(ErrClosed)
	err := c.wire.base.Close()
	c.flight.wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // whoever was interrupted was faster
	}
	return err
}

// session runs one exchange that ctx may interrupt.
func (c *Client) session(ctx context.Context, exchange func() error) error {
	if c.failure != nil {
		return c.failure
	}
	if c.flight.busy() {
		return &Error{Command: MAIL, Scope: mail.ScopeSession, Err: ErrBusy}
	}
	c.flight.pen.Lock()
	defer c.flight.pen.Unlock()
	stop := c.wire.watch(ctx)
	defer stop()
	return exchange()
}

// command sends one command and waits for its reply. A 421 is an error.
func (c *Client) command(command Command, line string) (mail.Reply, error) {
	c.out = append(append(c.out[:0], line...), "\r\n"...)
	if err := c.flush(command); err != nil {
		return mail.Reply{}, err
	}
	return c.read(command)
}

// flush writes the commands collected so far.
func (c *Client) flush(command Command) error {
	if len(c.out) == 0 {
		return nil
	}
	c.traceCommands(command, c.out)
	err := c.wire.write(c.out, c.options.Timeouts.of(command))
	c.out = c.out[:0]
	if err != nil {
		return c.fail(command, c.lastWords(err), err)
	}
	return nil
}

// read waits for one reply. A 421 is an error that carries it.
func (c *Client) read(command Command) (mail.Reply, error) {
	c.wire.readWithin(c.options.Timeouts.of(command))
	reply, err := c.replies.reply()
	c.traceReply(reply, err)
	if err != nil {
		return mail.Reply{}, c.fail(command, mail.Reply{}, err)
	}
	if reply.Code == 421 {
		return reply, c.fail(command, reply, nil)
	}
	return reply, nil
}

// lastWords reads what a server said before it stopped reading: often why.
func (c *Client) lastWords(broken error) mail.Reply {
	var timeout net.Error
	if errors.As(broken, &timeout) && timeout.Timeout() || c.wire.interrupted() != nil {
		return mail.Reply{}
	}
	c.wire.readWithin(time.Second)
	reply, err := c.replies.reply()
	if err != nil || reply.Code < 400 {
		return mail.Reply{}
	}
	return reply
}

// fail closes the connection and remembers why.
func (c *Client) fail(command Command, reply mail.Reply, err error) *Error {
	scope := c.scope(command, reply, err)
	if cause := c.wire.interrupted(); cause != nil {
		err, scope = cause, mail.ScopeSession
	}
	c.failure = &Error{Command: command, Reply: reply, Scope: scope, Err: plainError(err)}
	_ = c.wire.base.Close() // nothing is owed to a broken connection
	return c.failure
}

// scope blames the site for what happens before the first message, except
// where the caller is free to try in another way.
func (c *Client) scope(command Command, reply mail.Reply, err error) mail.Scope {
	optional := c.options.TLS == mail.TLSOpportunistic && !c.options.ImplicitTLS
	switch {
	case errors.Is(err, ErrHandshake) && optional:
		return mail.ScopeSession
	case !c.ready, command == MAIL && reply.Code == 421 && !c.transacted:
		return mail.ScopeSite
	}
	return mail.ScopeSession
}

// plainError leaves out the ends of the connection, which the caller knows.
func plainError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

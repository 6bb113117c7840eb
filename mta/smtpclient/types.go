package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Options of one connection.
type Options struct {
	// LocalName is what EHLO says: the fully qualified name of the source.
	LocalName string
	// LocalAddr binds the connection to a source address; zero for any.
	LocalAddr netip.Addr
	// Dial opens connections another way than straight from LocalAddr, which
	// then counts for nothing: through a proxy. Its context ends with
	// Timeouts.Connect and says nothing of the connection. The connection must
	// call the server its RemoteAddr, for passwords go in the clear to a server
	// on loopback. An error with a method SourceFault() bool that returns true
	// speaks of our own end and becomes ErrSource. Nil for straight.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is the least protection accepted.
	TLS mail.TLSFloor
	// ImplicitTLS begins with a TLS handshake (RFC 8314) instead of STARTTLS.
	ImplicitTLS bool
	// TLSConfig is the base of the handshake's configuration; may be nil. The
	// server name and the verification are set from the floor.
	TLSConfig *tls.Config
	// Verify judges the server in place of the public authorities, which are
	// those of TLSConfig; nil where they judge. Under mail.TLSVerified its error
	// ends the handshake, under lower floors only Client.Security tells it.
	Verify func(tls.ConnectionState) error
	// RequireTLS demands that the server offers REQUIRETLS under TLS (RFC 8689).
	RequireTLS bool
	// Sessions to resume; nil for none. Only sessions under the same
	// SessionScope are resumed, which names what Verify asks.
	Sessions     *Sessions
	SessionScope string
	// Username and Password authenticate (RFC 4954) where Username is set,
	// only under TLS or on loopback.
	Username, Password string
	Timeouts           Timeouts
	// Trace is told of the dialogue, line by line: what is sent, and each reply.
	// Secrets and the message are left out. It must be quick, and stand being
	// called by several goroutines; nil for nobody.
	Trace func(sent bool, line string)
	// OneAtATime sends each command when the one before it is answered,
	// whatever the server offers: for servers that do not stand more, as
	// Client.OneAtATime tells.
	OneAtATime bool
	// MaxReplyOctets and MaxReplyLines bound one reply; zero for the defaults
	// of 8,192 and 64.
	MaxReplyOctets, MaxReplyLines int
}

// Timeouts bound each step as a whole, not each read of it. Zero values mean
// the minimum of RFC 5321 section 4.5.3.2; for Connect, TLS and Quit, of which
// it does not speak, 30 seconds, one minute and 10 seconds.
type Timeouts struct {
	Connect  time.Duration
	TLS      time.Duration
	Greeting time.Duration
	// Command bounds EHLO, MAIL, RCPT, RSET and AUTH replies, each.
	Command time.Duration
	// Data bounds the wait for 354.
	Data time.Duration
	// Block bounds each write of up to 64 KiB of the message.
	Block time.Duration
	// Final bounds the wait for the answer to the message.
	Final time.Duration
	Quit  time.Duration
}

// Extensions that the server offered in its last EHLO reply.
type Extensions struct {
	Pipelining, EightBitMIME, SMTPUTF8, Chunking, DSN, EnhancedStatusCodes, StartTLS, RequireTLS bool
	// Size is the largest message the server takes; zero when it did not say.
	Size int64
	// Auth lists mechanisms in upper case.
	Auth []string
}

// Transaction is one message for one or more recipients.
type Transaction struct {
	Envelope   mail.Envelope
	Recipients []mail.Recipient
	// Message is header and body with CRLF line ends, not dot-stuffed, in
	// pieces that are written in order.
	Message [][]byte
}

// Command names the step of the dialogue that an answer or failure belongs to.
type Command string

const (
	Connect  Command = "connect"
	Greeting Command = "greeting"
	EHLO     Command = "EHLO"
	STARTTLS Command = "STARTTLS"
	AUTH     Command = "AUTH"
	MAIL     Command = "MAIL"
	RCPT     Command = "RCPT"
	DATA     Command = "DATA"
	// Final is the answer to the message itself.
	Final Command = "message"
	RSET  Command = "RSET"
	QUIT  Command = "QUIT"
)

// Answer is what was decided for one recipient. The zero Answer means that
// nothing was: the recipient must be tried again.
type Answer struct {
	// Reply that decided: of MAIL, of the recipient's RCPT, of DATA or of the
	// message.
	Reply mail.Reply
	// Command that it answered.
	Command Command
}

// Scope says how far a refusal reaches.
func (a Answer) Scope() mail.Scope {
	switch {
	case a.Reply.Code == 421:
		return mail.ScopeSession
	case a.Command == RCPT:
		return mail.ScopeRecipient
	default:
		return mail.ScopeMessage
	}
}

// Error is a failure of the connection: after it the connection is of no use.
type Error struct {
	Command Command
	// Reply is the server's, where it gave one.
	Reply mail.Reply
	// Scope is session, or site where the host could not be reached or turned
	// us away before any message.
	Scope mail.Scope
	// Err is the cause where there was no reply.
	Err error
}

// Error says step and cause; never an address, so the text of the server's
// reply, which may hold one, stays in Reply.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Command, mail.Reply{Code: e.Reply.Code, Enhanced: e.Reply.Enhanced})
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Causes that Error wraps beside those of the network.
var (
	// ErrReply: the server's reply is no SMTP reply, or too long.
	ErrReply = errors.New("malformed reply")
	// ErrTLSFloor: the server does not offer the protection asked for.
	ErrTLSFloor = errors.New("server does not offer the required protection")
	// ErrHandshake: the server offered TLS and the handshake failed, so the
	// connection is dead. With STARTTLS under TLSOpportunistic the caller may
	// dial again with TLSNone; under every other floor it must not.
	ErrHandshake = errors.New("TLS handshake failed")
	// ErrRequireTLS: the server does not offer REQUIRETLS.
	ErrRequireTLS = errors.New("server does not offer REQUIRETLS")
	// ErrAuth: the server offers no mechanism we can use here.
	ErrAuth = errors.New("no usable authentication mechanism")
	// ErrSource: the connection failed at our own end: the source address cannot
	// be bound, or its proxy cannot be used. It says nothing of the server.
	ErrSource = errors.New("source cannot be used")
	// ErrClosed: Close or Quit was called before.
	ErrClosed = errors.New("connection is closed")
	// ErrInFlight: the server does not take commands before it has answered
	// those before, or chunks, although it offers to.
	ErrInFlight = errors.New("server does not take transactions in flight")
	// ErrBusy: there is no room for another transaction. The connection is of
	// use as before.
	ErrBusy = errors.New("too many transactions under way")
)

package testmx

import (
	"crypto/tls"
	"time"
)

// Options of a Server. The zero Options are a good server without TLS that
// counts messages and forgets them.
type Options struct {
	// Hostname greets; empty for "mx.test".
	Hostname string
	// Addr is where Listen and Start listen; empty for 127.0.0.1:0.
	Addr string
	// Without turns extensions off.
	Without Extensions
	// TLSConfig offers STARTTLS; nil for none. See SelfSigned.
	TLSConfig *tls.Config
	// ImplicitTLS begins every connection with a handshake (RFC 8314).
	ImplicitTLS bool
	// MaxSize of a message in octets, announced by SIZE; zero for no limit.
	MaxSize int64
	// Accounts by user name hold passwords, and offer AUTH PLAIN and LOGIN;
	// nil for none.
	Accounts map[string]string
	// Rules are the faults to play.
	Rules []Rule
	// Seed makes what Rule.Probability decides repeatable.
	Seed uint64
	// Keep makes Messages return what was accepted.
	Keep bool
	// OnMessage is called with each message before it is answered, from the
	// connection's goroutine; an error refuses the message with 451.
	OnMessage func(*Message) error
	// Strict looks into every message for what a good client does not send.
	Strict bool
	// IdleTimeout closes silent connections; zero for five minutes.
	IdleTimeout time.Duration
}

// Extensions names extensions of SMTP.
type Extensions struct {
	// EHLO leaves only HELO: EHLO is answered by 502.
	EHLO                                                                              bool
	Pipelining, EightBitMIME, SMTPUTF8, DSN, Chunking, EnhancedStatusCodes, Size, TLS bool
}

func (o Options) withDefaults() Options {
	if o.Hostname == "" {
		o.Hostname = "mx.test"
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 5 * time.Minute
	}
	return o
}

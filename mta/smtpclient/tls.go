package smtpclient

import (
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// implicitTLS begins with a handshake where the options ask for it (RFC 8314
// section 3.3).
func (c *Client) implicitTLS() error {
	if !c.options.ImplicitTLS {
		return nil
	}
	return c.handshake()
}

// startTLS encrypts as far as the floor asks for it (RFC 3207) and repeats
// EHLO: what was offered in the clear is forgotten (section 4.2).
func (c *Client) startTLS() error {
	floor := c.options.TLS
	if c.state != nil || floor == mail.TLSNone {
		return nil
	}
	if !c.offer.StartTLS {
		return c.inTheClear(mail.Reply{})
	}
	reply, err := c.command(STARTTLS, "STARTTLS")
	if err != nil {
		return err
	}
	if reply.Code != 220 {
		return c.inTheClear(reply)
	}
	if c.replies.buffered() > 0 {
		// Whatever came in the clear could be taken for an answer under TLS.
		return c.fail(STARTTLS, mail.Reply{}, fmt.Errorf("%w: text behind the answer to STARTTLS", ErrReply))
	}
	if err := c.handshake(); err != nil {
		return err
	}
	return c.hello()
}

// inTheClear goes on without TLS where that is allowed. refusal is the
// server's answer to STARTTLS, if it was asked.
func (c *Client) inTheClear(refusal mail.Reply) error {
	if c.options.TLS == mail.TLSOpportunistic {
		return nil
	}
	return c.fail(STARTTLS, refusal, ErrTLSFloor)
}

// requireTLS holds the server to RFC 8689 section 4.2.1 where it is asked for.
func (c *Client) requireTLS() error {
	if c.options.RequireTLS && (c.state == nil || !c.offer.RequireTLS) {
		return c.fail(EHLO, mail.Reply{}, ErrRequireTLS)
	}
	return nil
}

func (c *Client) handshake() error {
	conn := tls.Client(c.wire.base, c.tlsConfig())
	c.wire.bothWithin(c.options.Timeouts.TLS)
	if err := conn.Handshake(); err != nil {
		return c.fail(STARTTLS, mail.Reply{}, fmt.Errorf("%w: %w", ErrHandshake, plainError(err)))
	}
	state := conn.ConnectionState()
	c.state = &state
	c.wire.conn = conn
	return nil
}

// tlsConfig takes the judgement of the certificate away from the library: it
// is asked for under every floor, and ends the handshake under
// mail.TLSVerified. For the lower floors an unknown certificate is still better
// than none.
func (c *Client) tlsConfig() *tls.Config {
	config := &tls.Config{}
	if c.options.TLSConfig != nil {
		config = c.options.TLSConfig.Clone()
	}
	config.ServerName = strings.TrimSuffix(c.serverName, ".")
	config.InsecureSkipVerify = true
	if c.options.Sessions != nil {
		config.ClientSessionCache = c.options.Sessions.under(c.options.SessionScope, c.RemoteAddr())
	}
	further := config.VerifyConnection
	config.VerifyConnection = func(state tls.ConnectionState) error {
		c.untrusted = c.judge(config, state)
		if c.untrusted != nil && c.options.TLS == mail.TLSVerified {
			c.outdated = state.DidResume
			return c.untrusted
		}
		if further != nil {
			return further(state)
		}
		return nil
	}
	// A message is written in one go: small first records would only cost
	// system calls.
	config.DynamicRecordSizingDisabled = true
	return config
}

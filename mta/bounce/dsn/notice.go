package dsn

import (
	"errors"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
)

// Notice is what a DSN is made of.
type Notice struct {
	// Host reports, and the DSN comes from MAILER-DAEMON there.
	Host mail.Domain
	// ID is the left side of the Message-ID, unique for each DSN: letters,
	// digits, dots and hyphens.
	ID string
	// Now is when the DSN is written, Arrival when the message was accepted.
	Now, Arrival time.Time
	// Envelope is that of the message. From gets the DSN; Return and ID are
	// honoured.
	Envelope mail.Envelope
	// Outcomes are the recipients that the DSN speaks of, at least one.
	Outcomes []Outcome
	// Original is the message, or its header with the empty line behind it.
	Original []byte
	// MaxFull is the size up to which a failed message is returned whole where
	// RET=FULL asks for it, in octets.
	MaxFull int
}

// Outcome is what became of one recipient.
type Outcome struct {
	Recipient mail.Recipient
	Action    bounce.Action
	// Status is written as it is; where it is zero, it is made of the reply and
	// the action.
	Status mail.EnhancedCode
	// Reply is the remote server's, RemoteMTA its name; both may be empty.
	Reply     mail.Reply
	RemoteMTA string
	// Reason says in a few words what happened where there was no reply.
	Reason string
	// LastAttempt and RetryUntil (of what is delayed) may be zero.
	LastAttempt, RetryUntil time.Time
}

// Written is a finished DSN. It is sent with the null reverse-path (RFC 3461
// section 6.1).
type Written struct {
	Message []byte
	// EightBit and SMTPUTF8 are what its envelope needs.
	EightBit, SMTPUTF8 bool
}

var (
	// ErrNullSender: a message from nobody is answered to nobody (RFC 5321
	// section 6.1).
	ErrNullSender = errors.New("a DSN to the null reverse-path")
	// ErrNotice: a Notice that lacks something, or has something that would
	// break the message.
	ErrNotice = errors.New("invalid notice for a DSN")
)

func (n Notice) check() error {
	switch {
	case n.Envelope.From.IsZero():
		return ErrNullSender
	case len(n.Outcomes) == 0, n.Host == "", n.Now.IsZero(), !isAtom(n.ID):
		return ErrNotice
	}
	for _, o := range n.Outcomes {
		if _, known := conditionOf(o.Action); !known || o.Recipient.Address.IsZero() {
			return ErrNotice
		}
	}
	return nil
}

func isAtom(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '.' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

package delivery

import (
	"context"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/dsn"
	"github.com/postrider-mta/postrider/queue"
)

// Gate says, right before sending, whether a recipient may still be mailed.
type Gate interface {
	Admit(ctx context.Context, d *queue.Delivery) (Verdict, error)
	// Revision is another one whenever Admit may have come to drop what it let
	// pass. It is asked before each transaction, and costs nothing.
	Revision() uint64
}

// Verdict is a Gate's answer; the zero Verdict lets the recipient pass.
type Verdict struct {
	// Drop ends the recipient with a dropped event for Reason.
	Drop   bool
	Reason string
}

// Renderer turns the submitted message into what one recipient gets.
type Renderer interface {
	// Shared reports whether every recipient of m is likely to get the same
	// bytes, so that it is worth trying one transaction for them.
	Shared(m *queue.Message) bool
	// Render returns the message for d. What it cannot render goes out as it
	// is: an error means that the recipient must wait.
	Render(ctx context.Context, d *queue.Delivery, body []byte) (Rendered, error)
}

// Rendered is a message as it will be signed.
type Rendered struct {
	// Message may be the body itself, unchanged.
	Message []byte
	// Personal says that nobody but this recipient may get these bytes. It
	// overrules what Shared said before: the rules may have changed since.
	Personal bool
	// ReturnPath goes into MAIL FROM in place of the envelope's; zero leaves
	// that as it is. It is for a personal message alone.
	ReturnPath mail.Address
}

// Signer signs what nobody changes any more.
type Signer interface {
	// Sign returns complete header fields to go before message; none where no
	// key fits.
	Sign(ctx context.Context, tenant string, from mail.Domain, message []byte) ([]byte, error)
}

// Notifier tells senders what became of their recipients (RFC 3461).
type Notifier interface {
	// Wanted reports whether the sender of d wants to know of an action. It is
	// asked for nearly every outcome and deferral, and must be quick.
	Wanted(d *queue.Delivery, action bounce.Action) bool
	// Notify tells the sender of m, whose submitted bytes are body, what became
	// of some recipients. What was told is durable when the error is nil; after
	// an error it is asked again.
	Notify(ctx context.Context, m *queue.Message, body []byte, outcomes []dsn.Outcome) error
}

package delivery

import (
	"context"

	"github.com/postrider-mta/postrider/internal/mail"
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
}

// Signer signs what nobody changes any more.
type Signer interface {
	// Sign returns complete header fields to go before message; none where no
	// key fits.
	Sign(ctx context.Context, tenant string, from mail.Domain, message []byte) ([]byte, error)
}

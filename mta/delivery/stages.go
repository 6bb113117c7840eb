package delivery

import (
	"context"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// Gate says, right before sending, whether a recipient may still be mailed.
type Gate interface {
	Admit(ctx context.Context, d *queue.Delivery) (Verdict, error)
}

// Verdict is a Gate's answer; the zero Verdict lets the recipient pass.
type Verdict struct {
	// Drop ends the recipient with a dropped event for Reason.
	Drop   bool
	Reason string
}

// Renderer turns the submitted message into what one recipient gets.
type Renderer interface {
	// Shared reports whether every recipient of m gets the same bytes, so that
	// they can travel in one transaction.
	Shared(m *queue.Message) bool
	// Render returns the message for d. It may return body itself and must not
	// change it. What it cannot render goes out as it is: an error means that
	// the recipient must wait.
	Render(ctx context.Context, d *queue.Delivery, body []byte) ([]byte, error)
}

// Signer signs what nobody changes any more.
type Signer interface {
	// Sign returns complete header fields to go before message; none where no
	// key fits.
	Sign(ctx context.Context, tenant string, from mail.Domain, message []byte) ([]byte, error)
}

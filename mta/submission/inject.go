package submission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// Injection is a message that did not come over SMTP, from somebody who may
// use any sender.
type Injection struct {
	// Tenant must exist.
	Tenant     string
	From       mail.Address
	Recipients []mail.Recipient
	// Message is header and content; line ends may be LF.
	Message []byte
	// Protocol is named in Received.
	Protocol string
	// VendorHeaders names the senders whose control headers are understood.
	VendorHeaders []string
}

// ErrRefused is wrapped by every error of Inject that lies in the injection;
// its text says what is wrong.
var ErrRefused = errors.New("message refused")

// ErrQuota is wrapped by the errors of Inject that lie in the tenant's quota;
// the same injection may pass later.
var ErrQuota = errors.New("message refused for now")

// Inject checks, completes and accepts a message as if it had been submitted
// over SMTP. It is durable when the error is nil.
func (s *Server) Inject(ctx context.Context, i Injection) (queue.ID, error) {
	d, err := s.injected(i)
	if err != nil {
		return queue.ID{}, err
	}
	message := withLineEnds(i.Message)
	b := &body{octets: make([]byte, headroom, headroom+len(message)+len("\r\n")), start: headroom}
	copy(b.octets[headroom-2:], "\r\n")
	b.octets = append(b.octets, message...)
	submission, err := d.compose(b)
	var refused *refusal
	if errors.As(err, &refused) {
		return queue.ID{}, fmt.Errorf("%w: %s", ErrRefused, refused.text)
	}
	if err != nil {
		return queue.ID{}, err
	}
	err = s.accept(ctx, d.sender.tenant, submission)
	if errors.As(err, &refused) {
		return queue.ID{}, fmt.Errorf("%w: %s", ErrQuota, refused.text)
	}
	if err != nil {
		return queue.ID{}, err
	}
	return submission.Message.ID, nil
}

func (s *Server) injected(i Injection) (*draft, error) {
	tenant, ok := s.state.Load().accounts.Tenant(i.Tenant)
	limits := s.state.Load().limits
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: there is no tenant %q", ErrRefused, i.Tenant)
	case len(i.Recipients) == 0:
		return nil, fmt.Errorf("%w: it has no recipient", ErrRefused)
	case len(i.Recipients) > limits.Recipients:
		return nil, fmt.Errorf("%w: more than %d recipients", ErrRefused, limits.Recipients)
	case int64(len(i.Message)) > limits.MessageSize:
		return nil, fmt.Errorf("%w: larger than %d octets", ErrRefused, limits.MessageSize)
	}
	envelope := mail.Envelope{From: i.From, SMTPUTF8: !i.From.ASCII()}
	for _, r := range i.Recipients {
		envelope.SMTPUTF8 = envelope.SMTPUTF8 || !r.Address.ASCII()
	}
	return &draft{
		server:      s,
		transaction: &transaction{sender: sender{tenant: tenant, any: true, vendors: i.VendorHeaders}, envelope: envelope, recipients: i.Recipients},
		origin:      origin{greeted: s.options.Hostname, protocol: strings.ToUpper(i.Protocol)},
	}, nil
}

// withLineEnds returns the message with every LF that stands alone made CRLF.
func withLineEnds(message []byte) []byte {
	if bytes.Count(message, []byte("\n")) == bytes.Count(message, []byte("\r\n")) {
		return message
	}
	lines := bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(lines, []byte("\n"), []byte("\r\n"))
}

package submission

import (
	"fmt"

	"github.com/emersion/go-smtp"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
)

// Suppressed reports whether a tenant may not mail an address on a stream, and
// why, in words that the tenant may read; on an empty stream, whether none of
// the tenant's may.
type Suppressed func(tenant, stream string, a mail.Address) (reason string, found bool, err error)

// refuseRecipient refuses at RCPT whom the tenant may not mail, whatever the
// message says of itself: its stream is known only when its header was read.
// Where the tenant drops on any stream, nobody is refused here.
//
// A list that cannot be asked refuses nobody. Whoever is accepted is looked up
// again right before sending, and waits if that fails. A Receiver decides
// itself.
func (s *Server) refuseRecipient(tenant account.Tenant, a mail.Address) error {
	if s.options.Receiver != nil {
		return s.options.Receiver.Recipient(a)
	}
	if s.options.Suppressed == nil {
		return nil
	}
	for _, stream := range tenant.Streams {
		if stream.DropSuppressed {
			return nil
		}
	}
	reason, found, err := s.options.Suppressed(tenant.Name, "", a)
	if err != nil || !found {
		return s.unasked(err)
	}
	return suppressed(reason)
}

// refuseSuppressed refuses a message none of whose recipients may be mailed on
// its stream. Where some may, the others are accepted with them: SMTP has one
// answer to all, and they are dropped, each with an event, when their turn
// comes.
func (s *Server) refuseSuppressed(tenant account.Tenant, stream account.Stream, recipients []mail.Recipient) error {
	if s.options.Suppressed == nil || stream.DropSuppressed {
		return nil
	}
	last := ""
	for _, r := range recipients {
		reason, found, err := s.options.Suppressed(tenant.Name, stream.Name, r.Address)
		if err != nil || !found {
			return s.unasked(err)
		}
		last = reason
	}
	if n := len(recipients); n > 1 {
		last = fmt.Sprintf("all %d recipients, the last one: %s", n, last)
	}
	return suppressed(last)
}

// unasked notes that the list could not be asked, and refuses nobody for it.
func (s *Server) unasked(err error) error {
	if err != nil {
		s.logger.Warn("suppressions cannot be asked at submission", "error", err)
	}
	return nil
}

// suppressed is the refusal by a rule for this recipient (RFC 3463, X.7.1):
// the mailbox may well exist.
func suppressed(reason string) *refusal {
	return refuse(550, smtp.EnhancedCode{5, 7, 1}, reasonSuppressed, "suppressed: %s", reason)
}

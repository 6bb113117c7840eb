package inbound

import (
	"fmt"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce/report"
)

// subscriber is who leaves which stream.
type subscriber struct {
	tenant, stream string
	address        mail.Address
}

// unsubscription says what mail to an unsubscribe address means. A person, or
// their mail program, writes there; machines that answer mean nothing by it.
func (s *Server) unsubscription(c *consequence, r *report.Report) error {
	if r.Kind != report.Other && r.Kind != unreadable {
		return nil
	}
	who, err := s.subscriber(c.about)
	if err != nil {
		return err
	}
	e := c.about.event(event.Unsubscribed, "mail")
	c.outcome, c.leave, c.event = unsubscribed, who, &e
	return nil
}

// settling is how long a message's events may be under way to the log.
const settling = time.Hour

// subscriber finds the address behind a token, which does not hold it. Where the
// events of the message have expired nobody knows any more, and who writes is
// told so.
func (s *Server) subscriber(about *returned) (*subscriber, error) {
	origin, found, err := s.options.Origin(about.message.String(), about.index)
	if err != nil {
		return nil, fmt.Errorf("look up who unsubscribes: %w", err)
	}
	if !found && time.Since(about.message.Time()) < settling {
		return nil, refuse(451, smtp.EnhancedCode{4, 3, 0}, "not known yet, try again later")
	}
	address, err := mail.ParseAddress(origin.Recipient)
	if !found || err != nil || origin.Tenant != about.tenant {
		return nil, refuse(550, smtp.EnhancedCode{5, 1, 6}, "that message is too old to know who it went to: use the link in it, or answer it")
	}
	return &subscriber{origin.Tenant, origin.Stream, address}, nil
}

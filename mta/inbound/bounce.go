package inbound

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/report"
)

// reasonDSN is the reason of bounces that came back by mail.
const reasonDSN = "delivery status notification"

// bounce says what mail to a return path means. A complaint there is one as
// anywhere else: it concerns whoever the message that it gives back names.
func (s *Server) bounce(c *consequence, r *report.Report) error {
	if r.Kind == report.ARF {
		c.about = nil
		s.complaint(c, r)
		return nil
	}
	if r.Kind == report.Other && asksToLeave(r.Header) {
		return s.unsubscription(c, r)
	}
	if r.Kind != report.DSN {
		return nil
	}
	one, err := s.concerned(c.about, r.Recipients)
	switch {
	case err != nil:
		return err
	case one == nil:
		c.outcome = unclear
	case one.Failed():
		c.outcome = bounced
		e := s.bouncedEvent(c.about, one)
		c.event = &e
	case one.Action == bounce.Delivered, one.Action == bounce.Relayed, one.Action == bounce.Expanded:
		c.outcome = arrived
	default:
		c.outcome = delayed
	}
	return nil
}

// concerned returns the recipient of a report that speaks of ours; nil where
// that is not clear. The token says that it is about our recipient. So the only
// one is it, whatever address it has by now; of several, which an alias leads
// to, the one with ours.
func (s *Server) concerned(about *returned, all []report.Recipient) (*report.Recipient, error) {
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return &all[0], nil
	}
	origin, found, err := s.options.Origin(about.message.String(), about.index)
	if err != nil {
		return nil, fmt.Errorf("look up the recipient of a bounce: %w", err)
	}
	i := slices.IndexFunc(all, func(r report.Recipient) bool {
		_, original, _ := strings.Cut(r.OriginalRecipient, ";")
		return strings.EqualFold(r.Address, origin.Recipient) || strings.EqualFold(strings.TrimSpace(original), origin.Recipient)
	})
	if !found || i < 0 {
		return nil, nil
	}
	return &all[i], nil
}

func (s *Server) bouncedEvent(about *returned, one *report.Recipient) event.Event {
	e := about.event(event.Bounced, "dsn")
	reply := s.options.Parser.Reply(one)
	e.Reply, e.Category, e.Reason = &reply, string(category(one.Verdict)), reasonDSN
	return e
}

// category is what the suppressions go by. That there is no such address is
// said only where the report makes it certain: "550 user unknown" is how some
// refuse mail that they do not want.
func category(v report.Verdict) bounce.Category {
	if v.Category == bounce.InvalidRecipient && v.Bounce != report.Hard {
		return bounce.Unknown
	}
	return v.Category
}

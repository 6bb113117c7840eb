package inbound

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce/report"
	"github.com/postrider-mta/postrider/mta/submission"
)

// outcome is what followed from a message, as metrics have it.
type outcome string

const (
	// bounced, complained and unsubscribed led to an event.
	bounced      outcome = "bounced"
	complained   outcome = "complained"
	unsubscribed outcome = "unsubscribed"
	// delayed: the recipient's server still tries. arrived: it delivered,
	// relayed or expanded.
	delayed outcome = "delayed"
	arrived outcome = "arrived"
	// unclear: a bounce that does not say whose, or of what.
	unclear outcome = "unclear"
	// unidentified: a complaint without a token of ours.
	unidentified outcome = "unidentified"
	// ignored: mail of another kind than the address is for.
	ignored outcome = "ignored"
	// forwarded to a person.
	forwarded outcome = "forwarded"
)

// unreadable is the kind of what is no message.
const unreadable report.Kind = "unreadable"

// consequence is what follows from a message for one of its recipients.
type consequence struct {
	target  target
	outcome outcome
	// about is whom it concerns; nil for nobody that is known.
	about *returned
	// event tells of it; nil for none.
	event *event.Event
	// leave is who unsubscribes.
	leave *subscriber
}

// Receive implements submission.Receiver. What it does can be done again: after
// an error the client sends the message once more.
func (s *Server) Receive(ctx context.Context, m submission.Received) error {
	r, err := s.options.Parser.Parse(m.Message)
	if errors.Is(err, report.ErrMessage) {
		r.Kind = unreadable
	}
	consequences := make([]consequence, 0, len(m.Recipients))
	for _, address := range m.Recipients {
		c, err := s.conclude(address, &r)
		if err != nil {
			return err
		}
		consequences = append(consequences, c)
	}
	if err := s.act(ctx, m, consequences); err != nil {
		return err
	}
	for i := range consequences {
		s.tell(m, &r, &consequences[i])
	}
	return nil
}

// conclude says what a message means at an address, and changes nothing.
func (s *Server) conclude(address mail.Address, r *report.Report) (consequence, error) {
	t, err := s.target(address)
	if err != nil {
		return consequence{}, err // it was known when RCPT came
	}
	c := consequence{target: t, about: t.returned, outcome: ignored}
	switch t.purpose {
	case toPostmaster:
		c.outcome = forwarded
	case toComplaints:
		s.complaint(&c, r)
	case toUnsubscribe:
		err = s.unsubscription(&c, r)
	case toReturnPath:
		err = s.bounce(&c, r)
	}
	return c, err
}

// act does what follows, what stops mail first.
func (s *Server) act(ctx context.Context, m submission.Received, consequences []consequence) error {
	now := time.Now().UTC()
	var events []event.Event
	forward := false
	for i := range consequences {
		c := &consequences[i]
		if c.leave != nil {
			if err := s.options.Unsubscribe(ctx, c.leave.tenant, c.leave.stream, c.leave.address, c.about.message.String()); err != nil {
				return err
			}
		}
		if c.event != nil {
			c.event.Time = now
			events = append(events, *c.event)
		}
		forward = forward || c.outcome == forwarded
	}
	if len(events) > 0 {
		if err := s.options.Record(ctx, events); err != nil {
			return err
		}
	}
	if forward {
		return s.forward(ctx, m, now)
	}
	return nil
}

// tell counts and logs what followed, without addresses.
func (s *Server) tell(m submission.Received, r *report.Report, c *consequence) {
	s.metrics.returned.WithLabelValues(string(c.target.purpose), string(r.Kind), string(c.outcome)).Inc()
	attributes := []slog.Attr{
		slog.String("to", string(c.target.purpose)), slog.String("kind", string(r.Kind)),
		slog.String("outcome", string(c.outcome)), slog.String("client", m.Client.String()),
	}
	if c.about != nil {
		attributes = append(attributes, slog.String("tenant", c.about.tenant),
			slog.String("message", c.about.message.String()), slog.Int("index", c.about.index))
	}
	level := slog.LevelDebug
	if r.Kind == unreadable || c.outcome == unclear || c.outcome == unidentified {
		level = slog.LevelInfo // there is no event that would tell of it
	}
	s.logger.LogAttrs(context.Background(), level, "mail came back", attributes...)
}

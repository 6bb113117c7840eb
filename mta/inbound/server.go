package inbound

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/submission"
)

const (
	// commandErrors are the refusals until a connection is closed: whoever
	// guesses addresses is not to have many tries.
	commandErrors = 10
	// messages on one connection.
	messages = 1000
)

// Server hears what comes back.
type Server struct {
	options Options
	logger  *slog.Logger
	metrics *metrics
	rates   *rates
	server  *submission.Server
}

var _ submission.Receiver = (*Server)(nil)

// New checks the options. Nothing is bound before Listen.
func New(o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	s := &Server{options: o, logger: o.Logger, rates: newRates(o.Limits.PerMinute)}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.metrics, err = newMetrics(o.Metrics); err != nil {
		return nil, fmt.Errorf("%w: metrics: %w", ErrOptions, err)
	}
	if s.server, err = submission.New(s.wire()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return s, nil
}

// wire are the options of the SMTP server.
func (s *Server) wire() submission.Options {
	o := &s.options
	wire := submission.Options{
		Hostname: o.Hostname, Receiver: s, Logger: s.logger, Metrics: o.Metrics,
		Limits: submission.Limits{
			Connections: o.Limits.Connections, ConnectionsPerIP: o.Limits.ConnectionsPerIP,
			Recipients: o.Limits.Recipients, Messages: messages, CommandErrors: commandErrors,
			MessageSize: o.Limits.MessageSize, Memory: o.Limits.Memory,
			Idle: o.Limits.Idle, Session: o.Limits.Session,
		},
	}
	for i, address := range o.Listen {
		l := submission.Listener{Name: "inbound-" + strconv.Itoa(i+1), Address: address}
		if o.TLS != nil {
			l.TLS, l.TLSConfig = submission.TLSStart, o.TLS
		}
		wire.Listeners = append(wire.Listeners, l)
	}
	return wire
}

// Listen binds every address, or none.
func (s *Server) Listen() error { return s.server.Listen() }

// Addresses returns what Listen bound.
func (s *Server) Addresses() []net.Addr { return s.server.Addresses() }

// Serve takes mail until Shutdown.
func (s *Server) Serve(ctx context.Context) error { return s.server.Serve(ctx) }

// Shutdown stops listening; messages under way may finish until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return s.server.Shutdown(ctx) }

// Sender implements submission.Receiver: anybody may write, the null sender
// above all, but not too often.
func (s *Server) Sender(client netip.Addr) error {
	if s.rates.allow(client, time.Now()) {
		return nil
	}
	return refuse(450, smtp.EnhancedCode{4, 7, 1}, "too many messages from this address, try again later")
}

// Recipient implements submission.Receiver.
func (s *Server) Recipient(address mail.Address) error {
	t, err := s.target(address)
	if err == nil && t.purpose == toUnsubscribe {
		_, err = s.subscriber(t.returned)
	}
	return err
}

func refuse(code int, enhanced smtp.EnhancedCode, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

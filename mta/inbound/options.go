package inbound

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce/report"
	"github.com/postrider-mta/postrider/mta/bounce/verp"
	"github.com/postrider-mta/postrider/queue"
)

// ErrOptions is wrapped by the errors of New.
var ErrOptions = errors.New("inbound options")

// Options of a Server. All but those said to be optional must be given.
type Options struct {
	// Hostname greets clients.
	Hostname string
	// Listen holds host:port, one or more.
	Listen []string
	// TLS offers STARTTLS; nil for none.
	TLS    *tls.Config
	Limits Limits

	// Codec opens the tokens.
	Codec *verp.Codec
	// Parser reads the reports.
	Parser *report.Parser
	// Domains reports whether mail for a domain comes here.
	Domains func(mail.Domain) bool
	// Tenant returns the name behind verp.TenantNumber, if there is such a
	// tenant.
	Tenant func(number uint32) (name string, ok bool)
	// Complaints is the local part of the complaint address.
	Complaints string
	// Postmaster is where mail to postmaster and abuse goes; optional.
	Postmaster Forward

	// Origin returns the accepted event of a recipient.
	Origin func(message string, index int) (event.Event, bool, error)
	// Record makes events durable. One whose id was recorded before changes
	// nothing.
	Record func(ctx context.Context, events []event.Event) error
	// Unsubscribe ends a subscription, durably.
	Unsubscribe func(ctx context.Context, tenant, stream string, address mail.Address, message string) error

	// Logger is optional, and so are Metrics.
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Forward is where mail for people goes on to.
type Forward struct {
	// To is zero where such mail is refused.
	To mail.Address
	// Tenant and Stream whose mail it then is, and how long it is tried.
	Tenant, Stream string
	MaxAge         time.Duration
	// Accept makes a submission durable.
	Accept func(ctx context.Context, s *queue.Submission) error
}

// Limits bound what is taken; a zero field has the default of
// submission.Limits.
type Limits struct {
	Connections, ConnectionsPerIP int
	// Recipients of one message.
	Recipients int
	// MessageSize and Memory, for all messages being received, in octets.
	MessageSize, Memory int64
	// PerMinute is how many messages one client may begin in a minute; zero for
	// no limit.
	PerMinute int
	// Idle is the longest pause of a client, Session the longest life of a
	// connection.
	Idle, Session time.Duration
}

func (o *Options) check() error {
	switch {
	case len(o.Listen) == 0:
		return errors.New("no address to listen on")
	case o.Codec == nil, o.Parser == nil, o.Domains == nil, o.Tenant == nil:
		return errors.New("codec, parser, domains and tenants must be given")
	case o.Origin == nil, o.Record == nil, o.Unsubscribe == nil:
		return errors.New("what is done with mail must be given")
	case !o.Postmaster.To.IsZero() && o.Postmaster.Accept == nil:
		return errors.New("nobody takes the postmaster's mail")
	case o.Complaints == "":
		return errors.New("no complaint address")
	case o.Limits.PerMinute < 0:
		return errors.New("a limit is negative")
	}
	return nil
}

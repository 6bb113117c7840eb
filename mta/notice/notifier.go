package notice

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/dsn"
	"github.com/postrider-mta/postrider/queue"
)

// Store is where DSNs go. queue.Store has what it asks for.
type Store interface {
	Accept(ctx context.Context, s *queue.Submission) error
}

// ErrOptions: a Notifier lacks something it cannot do without.
var ErrOptions = errors.New("incomplete options for notices")

// Options of a Notifier. Host, Store and Accounts must be set; other zero
// fields have the defaults given.
type Options struct {
	// Host is the fully qualified name that reports.
	Host mail.Domain
	// Store takes the DSNs.
	Store Store
	// Accounts say what streams tell their senders.
	Accounts account.Directory
	// DelayAfter is how long a recipient waits before its sender is told of it;
	// 4 hours.
	DelayAfter time.Duration
	// PerHour bounds the DSNs to one sender in an hour; 100.
	PerHour int
	// MaxReturned is the size up to which a message is returned whole, in octets;
	// 50,000.
	MaxReturned int
	// MaxAge is how long a DSN is tried where the stream has no rule; 5 days.
	MaxAge time.Duration
	// Show is how addresses appear in the log; masked if nil.
	Show func(mail.Address) string
	// Logger receives what no event tells; discarded if nil.
	Logger *slog.Logger
	// Metrics registers the counters; nil for none.
	Metrics prometheus.Registerer
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	o.DelayAfter = cmp.Or(o.DelayAfter, 4*time.Hour)
	o.PerHour = cmp.Or(o.PerHour, 100)
	o.MaxReturned = cmp.Or(o.MaxReturned, 50_000)
	o.MaxAge = cmp.Or(o.MaxAge, 5*24*time.Hour)
	if o.Show == nil {
		o.Show = mail.Address.Masked
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Notifier writes DSNs. It is safe for concurrent use.
type Notifier struct {
	options Options
	limit   *limiter
	metrics *metrics
}

// New checks the options.
func New(options Options) (*Notifier, error) {
	if options.Host == "" || options.Store == nil || options.Accounts == nil {
		return nil, fmt.Errorf("%w: host, store and accounts are required", ErrOptions)
	}
	options = options.withDefaults()
	m, err := newMetrics(options.Metrics)
	if err != nil {
		return nil, err
	}
	return &Notifier{options: options, limit: newLimiter(options.PerHour), metrics: m}, nil
}

// Wanted reports whether the sender of d wants to know of an action: by NOTIFY,
// or by the rule of the stream. The null reverse-path never does, so that no
// DSN is about a DSN; what fails without anybody to tell is counted here.
func (n *Notifier) Wanted(d *queue.Delivery, action bounce.Action) bool {
	m := d.Message
	if m.Envelope.From.IsZero() {
		if action == bounce.Failed {
			n.unheard(d)
		}
		return false
	}
	if d.Recipient.Notify == 0 && action != bounce.Failed && action != bounce.Delayed {
		return false // no rule tells of success: most mail ends here
	}
	t, _ := n.options.Accounts.Tenant(m.Tenant)
	rule := t.Streams[m.Stream].Notices
	if rule == account.NoticesOff || !dsn.Wanted(d.Recipient.Notify, unasked(rule), action) {
		return false
	}
	return action != bounce.Delayed || n.late(d)
}

// unasked is what senders are told of who said nothing in NOTIFY.
func unasked(rule account.Notices) mail.Notify {
	switch rule {
	case account.NoticesFailures:
		return mail.NotifyFailure
	case account.NoticesDelays:
		return mail.NotifyFailure | mail.NotifyDelay
	}
	return 0
}

// late reports the first time that a recipient is sent back to wait after it
// has waited for long.
func (n *Notifier) late(d *queue.Delivery) bool {
	from := d.Message.Accepted
	if d.Message.NotBefore.After(from) {
		from = d.Message.NotBefore
	}
	limit := from.Add(n.options.DelayAfter)
	return !n.options.Now().Before(limit) && (d.Last == nil || d.Last.Time.Before(limit))
}

// unheard notes a failure that nobody is told of: that of one of our own DSNs,
// among others.
func (n *Notifier) unheard(d *queue.Delivery) {
	if d.Message.HeaderFrom != n.options.Host {
		n.metrics.skipped.WithLabelValues(skippedNullSender).Inc()
		return
	}
	n.metrics.skipped.WithLabelValues(skippedOwn).Inc()
	n.options.Logger.Warn("delivery report could not be delivered", "message", d.Message.ID.String(),
		"tenant", d.Message.Tenant, "recipient", n.options.Show(d.Recipient.Address))
}

// Notify puts a DSN about some recipients of m into the queue, whose submitted
// bytes are body; none where the sender gets too many, or is a machine. It is
// durable when the error is nil. An error is the store's.
func (n *Notifier) Notify(ctx context.Context, m *queue.Message, body []byte, outcomes []dsn.Outcome) error {
	now := n.options.Now()
	who := n.limit.key(m.Tenant, m.Envelope.From)
	switch {
	case isAutomatic(body):
		n.skip(skippedAutomatic, outcomes)
		return nil
	case !n.limit.room(now, who):
		n.skip(skippedLimit, outcomes)
		return nil
	}
	s, err := n.compose(now, m, body, outcomes)
	if err != nil {
		n.skip(skippedUnwritable, outcomes)
		n.options.Logger.Warn("delivery report could not be written", "message", m.ID.String(), "error", err)
		return nil
	}
	if err := n.options.Store.Accept(ctx, s); err != nil {
		return fmt.Errorf("delivery report: %w", err)
	}
	n.limit.count(now, who)
	for _, o := range outcomes {
		n.metrics.written.WithLabelValues(string(o.Action)).Inc()
	}
	return nil
}

func (n *Notifier) skip(reason string, outcomes []dsn.Outcome) {
	n.metrics.skipped.WithLabelValues(reason).Add(float64(len(outcomes)))
}

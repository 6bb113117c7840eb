package daemon

import (
	"context"
	"log/slog"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue/boltqueue"
)

// loggedEvents writes a line to the log for each event on its way to the
// event log, at the level debug: under load there are thousands a second.
type loggedEvents struct {
	boltqueue.EventLog
	logger *slog.Logger
	// full says whether to show addresses, and with them what remote servers
	// say of them.
	full func() bool
}

var _ boltqueue.EventLog = (*loggedEvents)(nil)

// Append implements boltqueue.EventLog.
func (l *loggedEvents) Append(ctx context.Context, records []event.Record) error {
	if err := l.EventLog.Append(ctx, records); err != nil {
		return err
	}
	if l.logger.Enabled(ctx, slog.LevelDebug) {
		for i := range records {
			l.log(ctx, &records[i].Event)
		}
	}
	return nil
}

func (l *loggedEvents) log(ctx context.Context, e *event.Event) {
	attributes := []slog.Attr{
		slog.String("type", string(e.Type)), slog.String("message", e.Message), slog.Int("index", e.Index),
		slog.String("tenant", e.Tenant), slog.String("stream", e.Stream), slog.String("recipient", l.recipient(e)),
	}
	if e.Attempt > 0 {
		attributes = append(attributes, slog.String("site", e.Site), slog.Int("attempt", e.Attempt))
	}
	if e.Reply != nil {
		attributes = append(attributes, slog.String("reply", l.reply(e.Reply)))
	}
	l.logger.LogAttrs(ctx, slog.LevelDebug, "event", attributes...)
}

func (l *loggedEvents) recipient(e *event.Event) string {
	if l.full() || e.Recipient == "" {
		return e.Recipient
	}
	address, err := mail.ParseAddress(e.Recipient)
	if err != nil {
		return "***"
	}
	return address.Masked()
}

// reply leaves the text out where addresses are masked: servers repeat them.
func (l *loggedEvents) reply(r *mail.Reply) string {
	if l.full() {
		return r.String()
	}
	return mail.Reply{Code: r.Code, Enhanced: r.Enhanced}.String()
}

// fullAddresses is [log] addresses, as the last reload has it.
func (d *daemon) fullAddresses() bool { return d.config.Load().Log.Addresses == "full" }

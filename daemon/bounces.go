package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/event"
	eventlog "github.com/postrider-mta/postrider/event/log"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/privacy/suppress"
)

// bounceReader keeps the suppressions up with the event log: bounces and
// complaints lead to entries, and each entry to an event.
type bounceReader struct {
	list   *suppress.Store
	events eventSource
	record func(ctx context.Context, events []event.Event) error
	logger *slog.Logger
}

// eventSource is what is asked of the event log.
type eventSource interface {
	Position() (uint64, error)
	Follow(ctx context.Context, after uint64, handle func([]event.Record) error) error
}

const (
	// advanceEvery is after how many events without a consequence the place
	// in the log is kept: to read them again costs time and nothing else.
	advanceEvery = 20_000
	// listenPause is how long listening rests after a failure.
	listenPause = 5 * time.Second
)

func (d *daemon) startListening(*config.Config) error {
	l := &bounceReader{list: d.suppress, events: eventsOf{d.events, observedTypes()}, record: d.store.Record, logger: d.logger}
	d.background("suppression of bounces", 0, l.run)
	return nil
}

// run listens until ctx ends. While something cannot be written it tries
// again: the events wait in the log.
func (l *bounceReader) run(ctx context.Context) error {
	for {
		err := l.listen(ctx)
		if ctx.Err() != nil {
			return nil
		}
		l.logger.Error("bounces are not turned into suppressions for now", "error", err)
		select {
		case <-time.After(listenPause):
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *bounceReader) listen(ctx context.Context) error {
	kept, err := l.list.Cursor()
	if err != nil {
		return err
	}
	newest, err := l.events.Position()
	if err != nil {
		return err
	}
	if kept > newest {
		// What is in it was read once, and may have been lifted since.
		l.logger.Warn("the event log is older than what bounces were read of: only what comes is read", "position", kept, "log", newest)
		kept = newest
	}
	read := kept
	err = l.events.Follow(ctx, kept, func(records []event.Record) error {
		changed, err := l.handle(ctx, records)
		if err != nil {
			return err
		}
		if read = records[len(records)-1].Position; !changed && read-kept < advanceEvery {
			return nil
		}
		kept = read
		return l.list.Advance(ctx, kept)
	})
	if read > kept && ctx.Err() != nil { // it was asked to stop
		err = errors.Join(err, l.list.Advance(context.WithoutCancel(ctx), read))
	}
	return err
}

// handle does what events ask for, and tells of it before their place is
// kept. Whatever is done twice is the same.
func (l *bounceReader) handle(ctx context.Context, records []event.Record) (changed bool, err error) {
	var observations []suppress.Observation
	var from []*event.Event
	for i := range records {
		if o, ok := observe(&records[i]); ok {
			observations = append(observations, o)
			from = append(from, &records[i].Event)
		}
	}
	learned, err := l.list.Observe(ctx, observations)
	if err != nil || len(learned) == 0 {
		return false, err
	}
	events := make([]event.Event, len(learned))
	for i := range learned {
		cause := from[learned[i].Observation]
		events[i] = suppressionEvent(event.Suppressed, &learned[i].Entry)
		events[i].ID = cause.ID + "-" + string(event.Suppressed)
		events[i].Time = learned[i].Entry.Time
		events[i].Message, events[i].Index, events[i].Category = cause.Message, cause.Index, cause.Category
	}
	if err := l.record(ctx, events); err != nil {
		return false, fmt.Errorf("tell of suppressions: %w", err)
	}
	return true, nil
}

// observedTypes are the types that observe knows.
func observedTypes() []event.Type {
	return []event.Type{event.Delivered, event.Complained, event.Bounced, event.Expired}
}

// eventsOf is the event log for a consumer of some types.
type eventsOf struct {
	*eventlog.Log
	types []event.Type
}

// Follow hands over records of these types.
func (e eventsOf) Follow(ctx context.Context, after uint64, handle func([]event.Record) error) error {
	return e.FollowTypes(ctx, after, e.types, handle)
}

// observe says what an event has to do with suppression, if it has.
func observe(r *event.Record) (o suppress.Observation, ok bool) {
	e := &r.Event
	o = suppress.Observation{Tenant: e.Tenant, Time: e.Time, Position: r.Position, Source: e.ID, Message: e.Message}
	switch e.Type {
	case event.Delivered:
		o.Sign = suppress.SawDelivery
	case event.Complained:
		o.Sign = suppress.SawComplaint
	case event.Bounced, event.Expired:
		o.Sign = signOf(e)
		o.Late = e.Attempt == 0 // it came back by mail
	}
	if o.Sign == 0 || o.Tenant == "" || o.Source == "" {
		return o, false
	}
	address, err := mail.ParseAddress(e.Recipient)
	o.Address = address
	return o, err == nil && address.Domain() != erasedDomain
}

// erasedDomain is that of the addresses that an erasure puts in the place of
// others.
const erasedDomain = "erased.invalid"

// signOf tells what an undelivered recipient says of the address. A refusal by
// policy (5.7.x) says nothing, whatever its words: it is about the sender.
func signOf(e *event.Event) suppress.Sign {
	class := bounce.Class{Category: bounce.Category(e.Category), Permanent: e.Type == event.Bounced}
	switch {
	case e.Reply != nil && e.Reply.Enhanced.Subject == policySubject:
		return 0
	case class.Permanent && class.SpeaksOfAddress():
		return suppress.SawHardBounce
	case class.Category == bounce.MailboxFull, class.Category == bounce.Inactive:
		return suppress.SawSoftBounce
	}
	return 0
}

// policySubject is that of security and policy status (RFC 3463 section 3.8).
const policySubject = 7

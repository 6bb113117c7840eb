package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/dsn"
	"github.com/postrider-mta/postrider/queue"
)

const (
	// gathering is how long the first of what ends together waits for the
	// others, so that one notice speaks of all.
	gathering = 20 * time.Millisecond
	// maxNotices bounds what waits for its sender to be told. Beyond it
	// recipients end without: delivery must not stand still because the queue
	// takes no notices.
	maxNotices = 1024
)

// notice is a recipient whose sender is told before the outcome is settled.
type notice struct {
	message *queue.Message
	outcome dsn.Outcome
	// settle hands on the outcome or the deferral.
	settle func()
}

// notices tells senders, beside the way of those who ask for nothing. Only what
// was told is settled: a crash between the two tells a sender twice, never not
// at all.
type notices struct {
	engine  *Engine
	waiting chan notice
}

func newNotices(e *Engine) *notices {
	room := max(1, min(maxNotices, e.options.MaxInFlight/4))
	return &notices{engine: e, waiting: make(chan notice, room)}
}

// wanted reports whether the sender of d wants to know of an action; where
// another server tells, there is none.
func (e *Engine) wanted(d *queue.Delivery, action bounce.Action) bool {
	return action != "" && e.options.Notifier != nil && e.options.Notifier.Wanted(d, action)
}

// end has an outcome settled once the sender of d knows of it. It reports false
// where there is no room for that.
func (n *notices) end(d *queue.Delivery, action bounce.Action, o queue.Outcome) bool {
	return n.add(notice{d.Message, reported(d, action, &o.Event), func() { n.engine.outcomes.add(o) }})
}

// putOff has a recipient wait once its sender knows of it, as end does.
func (n *notices) putOff(d *queue.Delivery, f queue.Deferral) bool {
	return n.add(notice{d.Message, reported(d, bounce.Delayed, &f.Event), func() { n.engine.deferred.add(f) }})
}

func (n *notices) add(one notice) bool {
	select {
	case n.waiting <- one:
		return true
	default:
		n.engine.metrics.untold.Inc()
		return false
	}
}

// reported puts an event into the words of a DSN.
func reported(d *queue.Delivery, action bounce.Action, made *event.Event) dsn.Outcome {
	o := dsn.Outcome{Recipient: d.Recipient, Action: action, RemoteMTA: made.Host, Reason: made.Reason}
	if made.Reply != nil {
		o.Reply = *made.Reply
	}
	switch {
	case made.Attempt > d.Attempts:
		o.LastAttempt = made.Time
	case d.Last != nil:
		o.LastAttempt = d.Last.Time
	}
	switch made.Type {
	case event.Deferred:
		o.RetryUntil = d.Message.Expires
	case event.Dropped:
		o.Status = mail.EnhancedCode{Class: 5, Subject: 7, Detail: 1}
	case event.Expired:
		if o.Reply.Enhanced.Class != 4 { // delivery time expired (RFC 3463 section 3.5)
			o.Status = mail.EnhancedCode{Class: 4, Subject: 4, Detail: 7}
		}
	case event.Bounced:
		if made.Host == "" && !o.Reply.IsZero() { // in our own words, as of a null MX
			o.Status, o.Reason, o.Reply = o.Reply.Enhanced, o.Reply.Text, mail.Reply{}
		}
	}
	return o
}

// finish lets run return once all are told. Nobody tells any more.
func (n *notices) finish() { close(n.waiting) }

// run tells senders until it is finished. When ctx ends it gives up on what
// the queue does not take.
func (n *notices) run(ctx context.Context) {
	for first := range n.waiting {
		sleep(ctx, gathering)
		for _, group := range byMessage(append([]notice{first}, n.more()...)) {
			if !n.notify(ctx, group) {
				n.giveUp(len(group))
				continue // what is not settled is tried again
			}
			for _, one := range group {
				one.settle()
			}
		}
	}
}

// more takes what waits already.
func (n *notices) more() (all []notice) {
	for {
		select {
		case one, open := <-n.waiting:
			if !open {
				return all
			}
			all = append(all, one)
		default:
			return all
		}
	}
}

// byMessage groups notices, in their order.
func byMessage(all []notice) [][]notice {
	var groups [][]notice
	place := map[queue.ID]int{}
	for _, one := range all {
		i, known := place[one.message.ID]
		if !known {
			i = len(groups)
			place[one.message.ID] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], one)
	}
	return groups
}

// notify tells one sender, as often as it takes, or until ctx ends.
func (n *notices) notify(ctx context.Context, group []notice) bool {
	outcomes := make([]dsn.Outcome, len(group))
	for i, one := range group {
		outcomes[i] = one.outcome
	}
	for pause := firstSettlePause; ; pause = min(2*pause, maxSettlePause) {
		err := n.once(ctx, group[0].message, outcomes)
		if err == nil {
			return true
		}
		n.engine.metrics.storeErrors.WithLabelValues("notify").Inc()
		n.engine.options.Logger.Error("sender could not be told", "message", group[0].message.ID.String(),
			"recipients", len(group), "error", err)
		if errors.Is(err, queue.ErrClosed) || !sleep(ctx, pause) {
			return false
		}
	}
}

// once tells; even when ctx has ended it tries, for a last time.
func (n *notices) once(ctx context.Context, m *queue.Message, outcomes []dsn.Outcome) error {
	if ctx.Err() != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSettle)
		defer cancel()
		ctx = last
	}
	body, err := n.engine.bodies.get(ctx, m)
	if err != nil && !errors.Is(err, queue.ErrDamaged) { // a damaged one cannot be returned
		return err
	}
	return n.engine.options.Notifier.Notify(ctx, m, body, outcomes)
}

func (n *notices) giveUp(count int) {
	n.engine.options.Logger.Error("senders could not be told; these recipients will be tried again", "recipients", count)
}

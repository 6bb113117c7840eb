package delivery

import (
	"math/rand/v2"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/queue"
)

// The reasons that are not an error's text.
const (
	reasonExpired  = "expired before it could be delivered"
	reasonLastTime = "expires before the next attempt"
)

func (e *Engine) event(d *queue.Delivery, kind event.Type, at via, now time.Time) event.Event {
	made := d.Event(kind, now)
	at.describe(&made)
	return made
}

// end settles a recipient for good, once its sender knows what it wants to.
func (e *Engine) end(d *queue.Delivery, action bounce.Action, last event.Event) {
	e.metrics.outcomes.WithLabelValues(string(last.Type)).Inc()
	o := queue.Outcome{Recipient: d.ID(), Event: last}
	if !e.wanted(d, action) || !e.notices.end(d, action, o) {
		e.outcomes.add(o)
	}
}

// deliver ends a recipient that a server took. confirms says that the server
// tells the sender itself, as it was asked to in the envelope (RFC 3461 section
// 5.2.1).
func (e *Engine) deliver(d *queue.Delivery, at via, reply mail.Reply, confirms bool) {
	made := e.event(d, event.Delivered, at, time.Now())
	made.Reply = &reply
	action := bounce.Relayed
	if confirms {
		action = ""
	}
	e.end(d, action, made)
}

func (e *Engine) bounce(d *queue.Delivery, at via, why failure) {
	made := e.event(d, event.Bounced, at, time.Now())
	why.describe(&made)
	e.end(d, bounce.Failed, made)
}

func (e *Engine) drop(d *queue.Delivery, at via, reason string) {
	made := e.event(d, event.Dropped, at, time.Now())
	made.Reason = reason
	e.end(d, bounce.Failed, made)
}

// expire ends a recipient whose time is up before this attempt. why says what
// it waited for, if anything is known; otherwise its last attempt tells.
func (e *Engine) expire(d *queue.Delivery, at via, why failure) {
	if last := d.Last; why == (failure{}) && last != nil {
		at, why.reason = via{last.Site, last.Source, last.Host, last.TLS}, last.Reason
		if last.Reply != nil {
			why.reply = *last.Reply
		}
	}
	made := e.event(d, event.Expired, at, time.Now())
	why.describe(&made)
	if made.Reason = reasonExpired; why.reason != "" {
		made.Reason += ": " + why.reason
	}
	made.Attempt = d.Attempts // this one was not made
	e.end(d, bounce.Failed, made)
}

// postpone sends a recipient back to wait after a failed attempt, or ends it
// where there is no time for another.
func (e *Engine) postpone(d *queue.Delivery, at via, why failure) {
	now := time.Now()
	next, ok := e.options.Retry.Next(now, d.Attempts+1, d.Message.Expires)
	if !ok {
		made := e.event(d, event.Expired, at, now)
		why.describe(&made)
		if made.Reason = reasonLastTime; why.reason != "" {
			made.Reason += ": " + why.reason
		}
		e.end(d, bounce.Failed, made)
		return
	}
	made := e.event(d, event.Deferred, at, now)
	made.NextAttempt = next
	why.describe(&made)
	e.sendBack(d, queue.Deferral{Recipient: d.ID(), Until: next, Event: made})
}

// sendBack has a recipient wait, once its sender knows what it wants to.
func (e *Engine) sendBack(d *queue.Delivery, f queue.Deferral) {
	e.metrics.outcomes.WithLabelValues(string(event.Deferred)).Inc()
	if !e.wanted(d, bounce.Delayed) || !e.notices.putOff(d, f) {
		e.deferred.add(f)
	}
}

// suspend sends a recipient back to wait until a time, or as long as the retry
// policy has it wait, without an attempt counted: none was made.
func (e *Engine) suspend(d *queue.Delivery, at via, why failure, until time.Time) {
	now := time.Now()
	next, ok := e.options.Retry.Next(now, max(d.Attempts, 1), d.Message.Expires)
	if until.After(now) {
		next, ok = until, true
	}
	if !ok || next.After(d.Message.Expires) {
		next = d.Message.Expires // then it is expired
	}
	made := e.event(d, event.Deferred, at, now)
	made.Attempt, made.NextAttempt = d.Attempts, next
	why.describe(&made)
	e.sendBack(d, queue.Deferral{Recipient: d.ID(), Until: next, Uncounted: true, Event: made})
}

// spread is over what share of a pause its end is spread, so that not all that
// waited comes at once.
const spread = 0.1

// setAside sends a recipient back to wait for the end of a throttle.
func (e *Engine) setAside(d *queue.Delivery, at via, t shape.Throttle) {
	pause := time.Until(t.Until)
	// Not by whose reply: that names another recipient.
	why := failure{reason: t.Name + " paused: " + t.Reason}
	e.suspend(d, at, why, t.Until.Add(time.Duration(rand.Float64()*spread*float64(pause))))
}

// settled ends a recipient or has it wait by the server's answer, and by what the rules of
// the provider make of it. confirms is as deliver has it.
func (w *worker) settled(d *queue.Delivery, a smtpclient.Answer, confirms bool) {
	e, at := w.engine, w.via()
	outcome := shape.Outcome{Reply: a.Reply, Tenant: d.Message.Tenant, Campaign: d.Message.Campaign}
	if a.Reply.Positive() {
		w.slot.Report(time.Now(), outcome)
		e.deliver(d, at, a.Reply, confirms)
		return
	}
	class := e.options.Classifier.Classify(a.Reply)
	e.metrics.refusals.WithLabelValues(string(class.Category)).Inc()
	outcome.Category = string(class.Category)
	reaction := w.slot.Report(time.Now(), outcome)
	if t := reaction.Throttle; t.Name != "" {
		// The cause stays out of the log: replies name addresses.
		e.options.Logger.Info("throttled", "site", t.Site, "source", t.Source, "throttle", t.Name, "rule", t.Rule,
			"tenant", t.Tenant, "campaign", t.Campaign, "until", t.Until, "reason", t.Reason)
	}
	permanent := class.Permanent && reaction.Decision != shape.Retry || reaction.Decision == shape.Bounce
	why := failure{reply: a.Reply, category: class.Category}
	if permanent {
		e.bounce(d, at, why)
	} else {
		e.postpone(d, at, why)
	}
}

package delivery

import (
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/queue"
)

// The reasons that are not an error's text.
const (
	reasonExpired  = "expired before it could be delivered"
	reasonLastTime = "expires before the next attempt"
)

func (e *Engine) event(d *queue.Delivery, kind event.Type, siteName string, now time.Time) event.Event {
	made := d.Event(kind, now)
	made.Site, made.Source = siteName, e.options.Source
	return made
}

// end settles a recipient for good.
func (e *Engine) end(d *queue.Delivery, last event.Event) {
	e.metrics.outcomes.WithLabelValues(string(last.Type)).Inc()
	e.outcomes.add(queue.Outcome{Recipient: d.ID(), Event: last})
}

func (e *Engine) deliver(d *queue.Delivery, siteName string, reply mail.Reply) {
	made := e.event(d, event.Delivered, siteName, time.Now())
	made.Reply = &reply
	e.end(d, made)
}

func (e *Engine) bounce(d *queue.Delivery, siteName string, why failure) {
	made := e.event(d, event.Bounced, siteName, time.Now())
	why.describe(&made)
	e.end(d, made)
}

func (e *Engine) drop(d *queue.Delivery, siteName, reason string) {
	made := e.event(d, event.Dropped, siteName, time.Now())
	made.Reason = reason
	e.end(d, made)
}

// expire ends a recipient whose time is up before this attempt. why says what
// it waited for, if anything is known; otherwise its last attempt tells.
func (e *Engine) expire(d *queue.Delivery, siteName string, why failure) {
	if last := d.Last; why == (failure{}) && last != nil {
		siteName, why.reason = last.Site, last.Reason
		if last.Reply != nil {
			why.reply = *last.Reply
		}
	}
	made := e.event(d, event.Expired, siteName, time.Now())
	why.describe(&made)
	if made.Reason = reasonExpired; why.reason != "" {
		made.Reason += ": " + why.reason
	}
	made.Attempt = d.Attempts // this one was not made
	e.end(d, made)
}

// postpone sends a recipient back to wait after a failed attempt, or ends it
// where there is no time for another.
func (e *Engine) postpone(d *queue.Delivery, siteName string, why failure) {
	now := time.Now()
	next, ok := e.options.Retry.Next(now, d.Attempts+1, d.Message.Expires)
	if !ok {
		made := e.event(d, event.Expired, siteName, now)
		why.describe(&made)
		if made.Reason = reasonLastTime; why.reason != "" {
			made.Reason += ": " + why.reason
		}
		e.end(d, made)
		return
	}
	made := e.event(d, event.Deferred, siteName, now)
	made.NextAttempt = next
	why.describe(&made)
	e.metrics.outcomes.WithLabelValues(string(event.Deferred)).Inc()
	e.deferred.add(queue.Deferral{Recipient: d.ID(), Until: next, Event: made})
}

// answered settles a recipient by the server's answer.
func (e *Engine) answered(d *queue.Delivery, siteName string, a smtpclient.Answer) {
	if a.Reply.Positive() {
		e.deliver(d, siteName, a.Reply)
		return
	}
	class := e.options.Classifier.Classify(a.Reply)
	e.metrics.refusals.WithLabelValues(string(class.Category)).Inc()
	if class.Permanent {
		e.bounce(d, siteName, failure{reply: a.Reply})
	} else {
		e.postpone(d, siteName, failure{reply: a.Reply})
	}
}

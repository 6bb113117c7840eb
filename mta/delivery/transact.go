package delivery

import (
	"context"
	"slices"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/queue"
)

// deliver sends one batch. It reports false when the worker is of no more use.
func (w *worker) deliver(b *batch) bool {
	ctx := w.engine.life.hard()
	if w.engine.stopping() {
		w.engine.giveBack(b.deliveries)
		return false
	}
	if w.session == nil {
		if err := w.connect(ctx); err != nil {
			w.unreachable(ctx, b, err)
			return false
		}
	}
	for retried := false; ; retried = true {
		if !w.fit(b) {
			return true
		}
		if !w.await() {
			w.engine.giveBack(b.deliveries)
			return false
		}
		started := time.Now()
		answers, err := w.session.Send(ctx, b.transaction())
		w.engine.metrics.transaction(time.Since(started))
		if err == nil || retried || !w.stale(err, answers) || ctx.Err() != nil {
			return w.answered(ctx, b, answers, err)
		}
		w.drop()
		if err := w.connect(ctx); err != nil {
			w.unreachable(ctx, b, err)
			return false
		}
	}
}

// fit makes sure that b is prepared for what this server can take. It reports
// false when nothing is left to send.
func (w *worker) fit(b *batch) bool {
	extensions := *w.extensions.Load()
	if b.prepared != nil && (!b.prepared.eightBit || extensions.EightBitMIME) {
		return true
	}
	return w.engine.prepare(b, extensions)
}

// await waits until the site's rate allows one more message. It reports false
// where that takes too long for a message to stay prepared.
func (w *worker) await() bool {
	for {
		wait := w.slot.Take(time.Now())
		if wait <= 0 {
			return true
		}
		s := w.lane.site
		s.mu.Lock()
		back := s.throttled(w.lane, wait)
		s.mu.Unlock()
		w.engine.giveBack(back)
		if wait > w.engine.options.IdleTimeout || !sleep(w.engine.life.soft(), wait) {
			return false
		}
	}
}

// stale reports that a connection kept from an earlier message was gone before
// this one was sent: that says nothing about the site or the message.
func (w *worker) stale(err error, answers []smtpclient.Answer) bool {
	spoken := func(a smtpclient.Answer) bool { return decided(a) && a.Reply.Code != 421 }
	if w.sent == 0 || slices.ContainsFunc(answers, spoken) {
		return false
	}
	switch asError(err).Command {
	case smtpclient.RSET, smtpclient.MAIL:
		return true
	}
	return false
}

// answered settles a batch by the server's answers. It reports whether the
// connection can carry more.
func (w *worker) answered(ctx context.Context, b *batch, answers []smtpclient.Answer, err error) bool {
	if err != nil && ctx.Err() != nil && !slices.ContainsFunc(answers, decided) {
		w.drop()
		w.engine.giveBack(b.deliveries)
		return false
	}
	result := w.settle(b, answers, broken(err))
	if result.lived {
		w.sent++
		w.slot.Succeed()
	}
	if len(result.again) > 0 {
		w.limitRecipients(result.accepted, result.again)
	}
	if result.ended == (failure{}) {
		return true
	}
	w.failed(result.ended)
	return false
}

// tally sums up the answers to a transaction.
type tally struct {
	accepted int
	// lived: some answer was about the mail and not the end of the session.
	lived bool
	// again are recipients that were too many for this transaction.
	again []*queue.Delivery
	// ended says why the session is over; zero when it is not.
	ended failure
}

// settle hands each recipient its outcome. Those without an answer are tried
// again for the reason that the session ended, if not for a better one.
func (w *worker) settle(b *batch, answers []smtpclient.Answer, ended failure) tally {
	e, name := w.engine, w.lane.site.name
	result := tally{ended: ended}
	for i, d := range b.deliveries {
		var a smtpclient.Answer
		if i < len(answers) {
			a = answers[i]
		}
		if !decided(a) {
			e.postpone(d, name, result.ended)
			continue
		}
		if a.Scope() == mail.ScopeSession {
			result.ended = failure{reply: a.Reply}
		} else {
			result.lived = true
		}
		if result.accepted > 0 && tooMany(a) {
			result.again = append(result.again, d)
			continue
		}
		if a.Reply.Positive() {
			result.accepted++
		}
		e.answered(d, name, a)
	}
	return result
}

func decided(a smtpclient.Answer) bool { return a != smtpclient.Answer{} }

// tooMany reports a refusal of more recipients in this transaction (RFC 5321
// section 4.5.3.1.10, RFC 3463 X.5.3).
func tooMany(a smtpclient.Answer) bool {
	if a.Command != smtpclient.RCPT {
		return false
	}
	enhanced := a.Reply.Enhanced
	return a.Reply.Code == 452 && (enhanced.IsZero() || enhanced.Subject == 5 && enhanced.Detail == 3)
}

// limitRecipients has those that were too many sent next, and remembers what
// the server takes.
func (w *worker) limitRecipients(accepted int, again []*queue.Delivery) {
	s := w.lane.site
	s.mu.Lock()
	w.lane.maxRecipients = max(1, min(w.lane.maxRecipients, accepted))
	s.mu.Unlock()
	s.putBack(w.lane, again)
}

// unreachable ends an attempt for which there was no connection. The rest that
// waits for the lane is given back: it is not tried until a probe succeeds.
func (w *worker) unreachable(ctx context.Context, b *batch, err error) {
	if ctx.Err() != nil || w.engine.stopping() {
		w.engine.giveBack(b.deliveries)
		return
	}
	why := broken(err)
	w.failed(why)
	if asError(err).Scope == mail.ScopeSession {
		w.engine.giveBack(b.deliveries) // our own trouble: no attempt was made
	} else {
		for _, d := range b.deliveries {
			w.engine.postpone(d, w.lane.site.name, why)
		}
	}
	s := w.lane.site
	s.mu.Lock()
	var back []*queue.Delivery
	if w.engine.options.Shaper.Paused(time.Now(), w.lane.target()) > 0 {
		back = s.forfeit(w.lane)
	}
	s.mu.Unlock()
	w.engine.giveBack(back)
}

// failed notes why the connection ended.
func (w *worker) failed(why failure) {
	w.engine.metrics.failures.Inc()
	reason := why.reason
	if reason == "" {
		reason = "the server ended the session"
	}
	w.slot.Fail(time.Now(), reason, why.reply)
	s := w.lane.site
	s.mu.Lock()
	w.lane.last = why
	s.mu.Unlock()
	w.drop()
}

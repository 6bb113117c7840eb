package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/queue"
)

// send begins one batch, once there is a connection with room for it. It
// reports false when the worker is of no more use.
func (w *worker) send(b *batch) bool {
	ctx := w.engine.life.hard()
	if w.engine.stopping() {
		w.engine.giveBack(b.deliveries)
		return false
	}
	if w.session == nil {
		if err := w.connect(ctx, b.deliveries[0]); err != nil {
			w.unreachable(ctx, b, err)
			return false
		}
	}
	if !w.fit(b) {
		return true
	}
	b.word()
	if !w.makeRoom(b) || !w.await(len(b.deliveries)) {
		w.engine.giveBack(b.deliveries)
		return false
	}
	if w.session == nil {
		w.again = append(w.again, b) // behind those that the connection took along
		return true
	}
	return w.begin(ctx, b)
}

func (w *worker) begin(ctx context.Context, b *batch) bool {
	if !w.engine.takeOff(ctx, b) {
		return true
	}
	b.begun = time.Now()
	err := w.session.Begin(ctx, &b.transaction)
	if err == nil {
		w.flying = append(w.flying, b)
		return true
	}
	w.engine.airborne.remove(b)
	switch {
	case len(w.flying) > 0:
		w.again = append(w.again, b)
		return w.receive(<-w.results()) // that of a broken connection
	}
	return w.lost(ctx, []loss{{b, smtpclient.Result{Err: err, Again: true}}})
}

// makeRoom waits until b may be begun, unless the connection ends before. It
// reports false when the worker is of no more use.
func (w *worker) makeRoom(b *batch) bool {
	for len(w.flying) > 0 {
		if w.session.Room(&b.transaction) && w.engine.room() {
			return true
		}
		select {
		case r := <-w.results():
			if !w.receive(r) {
				return false
			}
		case <-w.engine.life.soft().Done():
			return false
		}
	}
	return true
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

// await waits until the site's rate allows one more message, and reports false
// where that takes too long for a message to stay prepared, or where the worker
// is of no more use.
func (w *worker) await(recipients int) bool {
	for w.session != nil {
		wait := w.slot.TakeFor(time.Now(), recipients)
		if wait <= 0 {
			return true
		}
		s := w.lane.site
		s.mu.Lock()
		back := s.throttled(w.lane, wait)
		s.mu.Unlock()
		w.engine.giveBack(back)
		if wait > w.engine.options.IdleTimeout || !w.attend(wait) {
			return false
		}
	}
	return true
}

// attend takes results for a time, or until the connection ends. It reports
// false where the worker is of no more use.
func (w *worker) attend(lasting time.Duration) bool {
	timer := time.NewTimer(lasting)
	defer timer.Stop()
	for w.session != nil {
		select {
		case r := <-w.results():
			if !w.receive(r) {
				return false
			}
		case <-timer.C:
			return true
		case <-w.engine.life.soft().Done():
			return false
		}
	}
	return true
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
	e := w.engine
	result, confirms := tally{ended: ended}, b.confirms(w.session)
	for i, d := range b.deliveries {
		var a smtpclient.Answer
		if i < len(answers) {
			a = answers[i]
		}
		if !decided(a) {
			e.postpone(d, w.via(), result.ended)
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
		w.settled(d, a, confirms)
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
	if errors.Is(err, smtpclient.ErrSource) {
		w.sourceless(b)
		return
	}
	why := broken(err)
	w.failed(why)
	if asError(err).Scope == mail.ScopeSession {
		w.engine.giveBack(b.deliveries) // our own trouble: no attempt was made
	} else {
		for _, d := range b.deliveries {
			w.engine.postpone(d, w.via(), why)
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

// sourceless leaves what waits for the lane to other sources: the site is not
// to blame.
func (w *worker) sourceless(b *batch) {
	s := w.lane.site
	s.mu.Lock()
	back := append(s.forfeit(w.lane), b.deliveries...)
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

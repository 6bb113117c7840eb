package delivery

import (
	"context"
	"slices"
	"time"

	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/queue"
)

// loss is a batch that was under way when its connection broke.
type loss struct {
	batch  *batch
	result smtpclient.Result
}

// receive takes one result. It reports false when the worker is of no more
// use.
func (w *worker) receive(r smtpclient.Result) bool {
	b := w.landed(r.Transaction)
	if r.Err == nil {
		return w.answered(b, r.Answers)
	}
	return w.lost(w.engine.life.hard(), append([]loss{{b, r}}, w.recover()...))
}

// landed takes a batch off those under way.
func (w *worker) landed(t *smtpclient.Transaction) *batch {
	i := slices.IndexFunc(w.flying, func(b *batch) bool { return &b.transaction == t })
	b := w.flying[i]
	w.flying = slices.Delete(w.flying, i, i+1)
	w.engine.airborne.remove(b)
	w.engine.metrics.transaction(time.Since(b.begun))
	return b
}

// recover takes the results of all that is under way on a connection that is
// of no more use.
func (w *worker) recover() []loss {
	var all []loss
	for len(w.flying) > 0 {
		r := <-w.session.Results()
		all = append(all, loss{w.landed(r.Transaction), r})
	}
	return all
}

// answered settles a batch by the server's answers. It reports false when they
// end the session.
func (w *worker) answered(b *batch, answers []smtpclient.Answer) bool {
	ended := w.conclude(b, answers, failure{})
	w.extend()
	if ended == (failure{}) {
		return true
	}
	_ = w.session.Close() // unwanted: nothing is owed to it
	w.finish(w.recover(), ended)
	return false
}

// conclude settles a batch by its answers, or by the end of the session, and
// returns why it ended, if it did.
func (w *worker) conclude(b *batch, answers []smtpclient.Answer, ended failure) failure {
	result := w.settle(b, answers, ended)
	if result.lived {
		w.sent++
		w.slot.Succeed()
	}
	if len(result.again) > 0 {
		w.limitRecipients(result.accepted, result.again)
	}
	return result.ended
}

// lost deals with what was under way, oldest first, when the connection broke.
// It reports false when the worker is of no more use.
func (w *worker) lost(ctx context.Context, all []loss) bool {
	switch {
	case ctx.Err() != nil:
		w.interrupted(all)
		return false
	case w.stale(all[0]):
		w.resend(all)
		return true
	}
	first, rest := all[0], all[1:]
	w.finish(rest, w.conclude(first.batch, first.result.Answers, broken(first.result.Err)))
	return false
}

// interrupted gives back what the engine's end has left open.
func (w *worker) interrupted(all []loss) {
	for _, l := range all {
		if slices.ContainsFunc(l.result.Answers, decided) {
			w.conclude(l.batch, l.result.Answers, broken(l.result.Err))
		} else {
			w.engine.giveBack(l.batch.deliveries)
		}
	}
	w.drop()
}

// stale reports that the connection was gone before the server looked at the
// oldest batch under way, or that it minded only the way in which it came: that
// says nothing about the site or the message.
func (w *worker) stale(oldest loss) bool {
	return oldest.mayGoAgain() && (w.sent > 0 || w.session.OneAtATime())
}

func (l loss) mayGoAgain() bool { return l.result.Again && !l.batch.retried }

// resend has batches go next, over a new connection. One for which that was
// done before waits like any other that failed.
func (w *worker) resend(all []loss) {
	for _, l := range all {
		if l.mayGoAgain() {
			l.batch.retried = true
			w.again = append(w.again, l.batch)
		} else {
			w.conclude(l.batch, l.result.Answers, broken(l.result.Err))
		}
	}
	w.drop()
}

// finish ends a session for a reason. Of what was under way, those that the
// server had not looked at are given back: it is not known that anything is
// wrong with them.
func (w *worker) finish(rest []loss, ended failure) {
	var unseen []*queue.Delivery
	for _, l := range rest {
		if l.mayGoAgain() && !slices.ContainsFunc(l.result.Answers, decided) {
			unseen = append(unseen, l.batch.deliveries...)
		} else {
			w.conclude(l.batch, l.result.Answers, ended)
		}
	}
	w.failed(ended)
	w.engine.giveBack(unseen)
}

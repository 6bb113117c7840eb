package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/source"
	"github.com/postrider-mta/postrider/queue"
)

const (
	// fetchSize is how many recipients of a queue are leased at once: enough
	// to fill a transaction.
	fetchSize = 128
	// sweepSize is how many are looked through for expired ones at a time.
	sweepSize = 16
	// routeAge is how long a queue that waits keeps its route.
	routeAge = 5 * time.Minute
)

// report notes that a queue has recipients due. A queue that is not known yet
// is routed first.
func (e *Engine) report(key queue.Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if q, ok := e.queues[key]; ok {
		q.reports++
		return
	}
	q := &backlog{key: key}
	e.queues[key] = q
	e.routeLater(q)
}

// routeLater lines q up for its route. The caller holds e.mu.
func (e *Engine) routeLater(q *backlog) {
	e.unrouted = append(e.unrouted, q)
	if e.routing < e.options.MaxRouting && e.launch(e.routeLoop) {
		e.routing++
	}
}

// routeLoop routes queues until none is left to route.
func (e *Engine) routeLoop() {
	for {
		e.mu.Lock()
		if len(e.unrouted) == 0 || e.stopping() {
			e.routing--
			e.mu.Unlock()
			return
		}
		q := e.unrouted[0]
		e.unrouted = e.unrouted[1:]
		e.mu.Unlock()
		e.route(q)
	}
}

func (e *Engine) route(q *backlog) {
	ctx := e.life.soft()
	r, err := e.options.Router.Route(ctx, q.key.Domain)
	switch {
	case err != nil && ctx.Err() != nil:
	case err != nil:
		e.unroutable(ctx, q, err)
	default:
		e.place(q, r)
	}
}

// place puts a queue where its route leads.
func (e *Engine) place(q *backlog, r *route.Route) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.siteOf(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	q.routed = time.Now()
	q.swept = q.routed
	s.place(q, r)
}

// siteOf returns the site that a route leads to. The caller holds e.mu.
func (e *Engine) siteOf(r *route.Route) *site {
	s, ok := e.sites[r.Site]
	if !ok {
		s = newSite(e, r.Site)
		e.sites[r.Site] = s
	}
	return s
}

// unroutable answers everything due in a queue with the error of its route; but
// what waives the policies that are the error is sent.
func (e *Engine) unroutable(ctx context.Context, q *backlog, cause error) {
	why := failure{reason: cause.Error()}
	var waivable *route.Route
	if routing := (*route.Error)(nil); errors.As(cause, &routing) {
		why.reply, waivable = routing.Reply, routing.Waivable(e.options.Demand(q.key))
	}
	for {
		deliveries, more := e.lease(ctx, q, fetchSize)
		if waivable != nil {
			deliveries = e.waive(q, waivable, deliveries)
		}
		for _, d := range deliveries {
			if why.reply.Permanent() {
				e.bounce(d, via{}, why)
			} else {
				e.postpone(d, via{}, why)
			}
		}
		if !more {
			return
		}
	}
}

// waive sends what does without policies by a route whose hosts they all took
// out, and returns the rest.
func (e *Engine) waive(q *backlog, r *route.Route, deliveries []*queue.Delivery) (rest []*queue.Delivery) {
	var waiving []*queue.Delivery
	for _, d := range deliveries {
		if d.Message.Envelope.WaiveTLS && !d.Message.Envelope.RequireTLS {
			waiving = append(waiving, d)
		} else {
			rest = append(rest, d)
		}
	}
	if len(waiving) == 0 {
		return rest
	}
	e.mu.Lock()
	s := e.siteOf(r)
	s.mu.Lock()
	e.mu.Unlock()
	back, astray := s.send(q, r, waiving)
	s.mu.Unlock()
	for _, d := range back {
		astray = append(astray, stray{d, source.ErrNoSource})
	}
	e.wait(s.name, astray)
	e.tidy(s)
	return rest
}

// lease takes up to limit due recipients of a queue, and reports whether more
// may be due. Once that is not so the queue is forgotten until the store
// reports it again. The caller holds no lock.
func (e *Engine) lease(ctx context.Context, q *backlog, limit int) (deliveries []*queue.Delivery, more bool) {
	e.mu.Lock()
	reports := q.reports
	e.mu.Unlock()
	limit = e.reserve(limit)
	deliveries, err := e.options.Store.Next(ctx, q.key, limit)
	e.inFlight.Add(int64(len(deliveries) - limit))
	if err != nil {
		return deliveries, e.storeFailed(ctx, "lease", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(deliveries) < limit && q.reports == reports {
		delete(e.queues, q.key)
		return deliveries, false
	}
	return deliveries, ctx.Err() == nil
}

// reserve counts up to limit recipients as in flight, and at least one: a
// worker that could not lease any would have nobody to wake it.
func (e *Engine) reserve(limit int) int {
	for {
		now := e.inFlight.Load()
		granted := max(1, min(limit, e.options.MaxInFlight-int(now)))
		if e.inFlight.CompareAndSwap(now, now+int64(granted)) {
			return granted
		}
	}
}

// room reports that more recipients may be leased.
func (e *Engine) room() bool { return e.inFlight.Load() < int64(e.options.MaxInFlight) }

// storeFailed waits a moment after an error of the store, and reports whether
// to go on.
func (e *Engine) storeFailed(ctx context.Context, operation string, err error) bool {
	if ctx.Err() != nil || errors.Is(err, queue.ErrClosed) {
		return false
	}
	e.metrics.storeErrors.WithLabelValues(operation).Inc()
	e.options.Logger.Error("store failed", "operation", operation, "error", err)
	return sleep(ctx, storePause)
}

// sweepLoop ends what expires while it waits for a throttled site.
func (e *Engine) sweepLoop() {
	ctx := e.life.soft()
	for sleep(ctx, e.options.Sweep) {
		for _, q := range e.stale(time.Now().Add(-e.options.Sweep)) {
			e.sweep(ctx, q)
		}
	}
}

// stale returns the placed queues that were last looked at before limit.
func (e *Engine) stale(limit time.Time) []*backlog {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*backlog
	for _, q := range e.queues {
		if !q.routed.IsZero() && !q.swept.After(limit) {
			q.swept = time.Now()
			all = append(all, q)
		}
	}
	return all
}

// sweep expires the recipients of q whose time is up. The store hands out
// those due longest first, which are the oldest as near as makes no
// difference: the first lot without an expired one ends the search.
func (e *Engine) sweep(ctx context.Context, q *backlog) {
	for ctx.Err() == nil {
		deliveries, err := e.options.Store.Next(ctx, q.key, sweepSize)
		e.inFlight.Add(int64(len(deliveries)))
		if err != nil {
			e.storeFailed(ctx, "lease", err)
			return
		}
		now := time.Now()
		var back []*queue.Delivery
		for _, d := range deliveries {
			if d.Message.Expires.After(now) {
				back = append(back, d)
			} else {
				at, why := e.blame(q)
				e.expire(d, at, why)
			}
		}
		e.giveBack(back)
		if len(back) > 0 || len(deliveries) < sweepSize {
			return
		}
	}
}

// blame says what a queue waits for.
func (e *Engine) blame(q *backlog) (via, failure) {
	e.mu.Lock()
	o := q.outlet
	e.mu.Unlock()
	if o == nil {
		return via{}, failure{}
	}
	o.site.mu.Lock()
	defer o.site.mu.Unlock()
	for _, l := range o.lanes {
		if l.last != (failure{}) {
			return l.via(), l.last
		}
	}
	return via{site: o.site.name}, failure{}
}

// failure is why an attempt failed.
type failure struct {
	// reply is the remote server's; zero where nobody answered.
	reply mail.Reply
	// reason in words, where there is no reply or it does not say enough.
	reason string
	// category of the reply, where it is known.
	category bounce.Category
}

// describe fills in an event.
func (f failure) describe(e *event.Event) {
	if !f.reply.IsZero() {
		reply := f.reply
		e.Reply = &reply
	}
	e.Reason, e.Category = f.reason, string(f.category)
}

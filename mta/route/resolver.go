package route

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// resolver asks recursive name servers and remembers their answers. A question
// that many ask at once is sent once, on behalf of them all.
type resolver struct {
	servers  []server
	timeouts Timeouts
	bounds   Cache
	cache    *cache
	counters counters

	// ctx ends with the resolver, work with the last flight.
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
	// slots bounds the flights that hold a socket.
	slots chan struct{}

	mu      sync.Mutex
	closed  bool
	flights map[question]*flight
}

// flight is one question under way.
type flight struct {
	done   chan struct{}
	answer answer
	err    error
}

type counters struct{ queries, hits, stale, failures atomic.Uint64 }

const (
	maxFlights = 256
	// stalePatience is how long somebody waits for a fresh answer who could have
	// a stale one (RFC 8767 section 5).
	stalePatience = 1800 * time.Millisecond
)

var errClosed = errors.New("resolver is closed")

func newResolver(servers []server, timeouts Timeouts, bounds Cache) *resolver {
	ctx, stop := context.WithCancel(context.Background())
	return &resolver{
		servers: servers, timeouts: timeouts, bounds: bounds, cache: newCache(bounds.Entries),
		ctx: ctx, stop: stop,
		slots:   make(chan struct{}, maxFlights),
		flights: make(map[question]*flight),
	}
}

func (r *resolver) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	r.work.Wait()
}

// ask answers from the cache or from the servers. An error means that DNS gave
// no usable answer; that a name does not exist is an answer.
func (r *resolver) ask(ctx context.Context, q question) (answer, error) {
	return r.begin(q).wait(ctx)
}

// pending is a question that was begun, so that several run side by side.
type pending struct {
	resolver *resolver
	// known serves at once where there is no flight, and after patience where
	// there is one and it is stale.
	known    entry
	patience time.Time
	flight   *flight
}

func (r *resolver) begin(q question) pending {
	now := time.Now()
	known, ok := r.cache.get(q)
	if ok && now.Before(known.fresh) {
		r.counters.hits.Add(1)
		return pending{resolver: r, known: known}
	}
	f, err := r.join(q)
	if err != nil {
		return pending{resolver: r, known: entry{failure: err}}
	}
	p := pending{resolver: r, flight: f}
	if ok && now.Before(known.stale) {
		p.known, p.patience = known, now.Add(stalePatience)
	}
	return p
}

func (p pending) wait(ctx context.Context) (answer, error) {
	if p.flight == nil {
		return p.known.answer, p.known.failure
	}
	var overdue <-chan time.Time
	if !p.patience.IsZero() {
		timer := time.NewTimer(time.Until(p.patience))
		defer timer.Stop()
		overdue = timer.C
	}
	select {
	case <-p.flight.done:
		return p.flight.answer, p.flight.err
	case <-overdue:
		p.resolver.counters.stale.Add(1)
		old := p.known.answer
		old.stale = true
		return old, nil
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

// join returns the flight of q, which no caller's context ends.
func (r *resolver) join(q question) (*flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed
	}
	if f, ok := r.flights[q]; ok {
		return f, nil
	}
	f := &flight{done: make(chan struct{})}
	r.flights[q] = f
	r.work.Go(func() {
		f.answer, f.err = r.refresh(q)
		r.mu.Lock()
		delete(r.flights, q)
		r.mu.Unlock()
		close(f.done)
	})
	return f, nil
}

// refresh asks the servers and remembers what came; what was known before
// serves on when they fail.
func (r *resolver) refresh(q question) (answer, error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.timeouts.Total)
	defer cancel()
	a, err := r.resolve(ctx, q)
	if err == nil {
		r.cache.put(r.entry(q, a, time.Now()))
		return a, nil
	}
	r.counters.failures.Add(1)
	if r.ctx.Err() != nil {
		return answer{}, errClosed
	}
	return r.fail(q, err, time.Now())
}

// entry dates an answer. That a name does not exist never serves stale: it
// would end mail, except that no TLSA record does. That it has no MX record
// does, or domains without one could not be reached while DNS is down.
func (r *resolver) entry(q question, a answer, now time.Time) entry {
	longest := r.bounds.MaxTTL
	if a.empty() {
		longest = r.bounds.NegativeTTL
	}
	e := entry{question: q, answer: a, fresh: now.Add(min(max(a.ttl, r.bounds.MinTTL), longest))}
	if a.exists || q.qtype == dns.TypeTLSA {
		e.stale = e.fresh.Add(r.bounds.StaleFor)
	}
	return e
}

func (r *resolver) fail(q question, cause error, now time.Time) (answer, error) {
	known, ok := r.cache.get(q)
	known.answer.stale = true
	if !ok || !now.Before(known.stale) {
		known = entry{question: q, answer: answer{}, failure: cause}
	} else {
		r.counters.stale.Add(1)
	}
	known.fresh = now.Add(r.bounds.FailureTTL)
	r.cache.put(known)
	return known.answer, known.failure
}

// resolve follows aliases that the servers leave to us.
func (r *resolver) resolve(ctx context.Context, q question) (answer, error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	asked := q
	seen := []string{q.name}
	secure := true
	for {
		a, err := r.query(ctx, asked)
		secure = secure && a.secure
		a.secure = secure // every step must be
		if err != nil || a.alias == "" {
			return a, err
		}
		if len(seen) > maxAliases || slices.Contains(seen, a.alias) {
			return answer{}, errAliasLoop
		}
		seen = append(seen, a.alias)
		asked.name = a.alias
	}
}

package delivery

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider-mta/postrider/queue"
)

// storePause is how long to wait before a failing store is asked again.
const storePause = time.Second

// Engine delivers what a Store owes.
type Engine struct {
	options  Options
	metrics  *metrics
	capacity *capacity
	bodies   *bodies
	hosts    *hosts
	airborne *airborne
	tracer   tracer
	outcomes *settler[queue.Outcome]
	deferred *settler[queue.Deferral]
	notices  *notices
	// inFlight counts leased recipients.
	inFlight atomic.Int64

	mu     sync.Mutex
	sites  map[string]*site
	queues map[queue.Key]*backlog
	// unrouted waits for one of the routing goroutines.
	unrouted []*backlog
	routing  int

	life lifetime
}

// New returns an Engine that does nothing until Run.
func New(options Options) (*Engine, error) {
	if err := options.check(); err != nil {
		return nil, err
	}
	options = options.withDefaults()
	e := &Engine{
		options:  options,
		capacity: newCapacity(options.MaxConnections),
		bodies:   newBodies(options.Store, options.BodyCache),
		hosts:    newHosts(),
		airborne: newAirborne(),
		sites:    map[string]*site{},
		queues:   map[queue.Key]*backlog{},
	}
	e.life.init()
	metrics, err := newMetrics(options.Metrics, e)
	if err != nil {
		return nil, err
	}
	e.metrics = metrics
	e.outcomes = newSettler(e, "settle", options.Store.Settle)
	e.deferred = newSettler(e, "defer", options.Store.Defer)
	e.notices = newNotices(e)
	return e, nil
}

// Run delivers until ctx ends. It then takes no new work, lets transactions
// come to their end for the time of Options.Drain, gives back every lease that
// was not used, and returns when every outcome is settled or the time is over.
// The error is nil, or queue.ErrClosed where the store went away. An Engine
// runs once.
func (e *Engine) Run(ctx context.Context) error {
	soft, stop := context.WithCancel(ctx)
	defer stop()
	hard, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	e.life.start(soft, hard)
	var settlers, teller sync.WaitGroup
	teller.Go(func() { e.notices.run(hard) })
	settlers.Go(func() { e.outcomes.run(hard) })
	settlers.Go(func() { e.deferred.run(hard) })
	e.launch(e.sweepLoop)

	err := e.schedule(ctx)
	stop()
	deadline := time.AfterFunc(e.options.Drain, abort)
	defer deadline.Stop()
	e.life.stop()
	e.life.group.Wait()
	e.giveBackAll()
	e.notices.finish()
	teller.Wait()
	e.outcomes.finish()
	e.deferred.finish()
	settlers.Wait()
	return err
}

// schedule hands on what the store reports until ctx ends.
func (e *Engine) schedule(ctx context.Context) error {
	for {
		keys, err := e.options.Store.Ready(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, queue.ErrClosed):
			return err
		case err != nil:
			e.options.Logger.Error("store does not say what is due", "error", err)
			sleep(ctx, storePause)
		}
		for _, key := range keys {
			e.report(key)
		}
	}
}

// launch runs a goroutine that Run waits for, unless the engine is stopping.
func (e *Engine) launch(f func()) bool { return e.life.launch(f) }

func (e *Engine) stopping() bool { return e.life.soft().Err() != nil }

// giveBack returns leases unused. Their queues have something due again.
func (e *Engine) giveBack(deliveries []*queue.Delivery) {
	if len(deliveries) == 0 {
		return
	}
	e.options.Store.Return(deliveries)
	e.inFlight.Add(-int64(len(deliveries)))
	if e.stopping() {
		return
	}
	var last queue.Key
	for _, d := range deliveries {
		if key := d.Key(); key != last {
			e.report(key)
			last = key
		}
	}
}

// giveBackAll empties every site at the end.
func (e *Engine) giveBackAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.sites {
		s.mu.Lock()
		if s.timer != nil {
			s.timer.Stop()
		}
		var back []*queue.Delivery
		for _, l := range s.lanes {
			back = append(back, s.forfeit(l)...)
		}
		s.mu.Unlock()
		e.giveBack(back)
	}
}

// tidy forgets a site that nothing waits for.
func (e *Engine) tidy(s *site) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty() && e.sites[s.name] == s {
		if s.timer != nil {
			s.timer.Stop()
		}
		delete(e.sites, s.name)
	}
}

// Lift ends the throttles of that name at a site, or all where name is empty,
// and returns how many there were. What waited for them goes on at once.
func (e *Engine) Lift(siteName, name string) int {
	lifted := e.options.Shaper.Lift(time.Now(), siteName, name)
	e.mu.Lock()
	s := e.sites[siteName]
	e.mu.Unlock()
	if s != nil {
		s.mu.Lock()
		for _, l := range s.lanes {
			l.held = time.Time{}
		}
		for _, f := range s.flows {
			for _, sup := range f.supplies {
				sup.until = time.Time{}
			}
		}
		s.mu.Unlock()
		s.wakeUp()
	}
	return lifted
}

// lifetime keeps the engine's goroutines: none starts once it stops, so that
// waiting for them has an end.
type lifetime struct {
	mu       sync.Mutex
	stopped  bool
	group    sync.WaitGroup
	contexts atomic.Pointer[contexts]
}

// contexts end one after the other: soft when new work ends, hard when the
// work at hand must.
type contexts struct{ soft, hard context.Context }

func (l *lifetime) init() {
	l.contexts.Store(&contexts{context.Background(), context.Background()})
}

func (l *lifetime) start(soft, hard context.Context) {
	l.contexts.Store(&contexts{soft, hard})
}

func (l *lifetime) soft() context.Context { return l.contexts.Load().soft }
func (l *lifetime) hard() context.Context { return l.contexts.Load().hard }

func (l *lifetime) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
}

func (l *lifetime) launch(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	l.group.Go(f)
	return true
}

// sleep waits, and reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

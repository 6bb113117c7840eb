package tlsreport

import (
	"context"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

const (
	// tick is how often what is due is looked for.
	tick = time.Minute
	// stale is how long after the end of its day a report is begun at the
	// latest: the daemon may not have run.
	stale = 72 * time.Hour
	// maxRetry bounds the pause between attempts.
	maxRetry = 4 * time.Hour
)

// Reporter counts sessions and reports them. Record may be called from several
// goroutines, before, during and after Run.
type Reporter struct {
	options Options
	metrics *metrics

	mu sync.Mutex
	// day is what is counted now: 00:00 UTC.
	day     time.Time
	domains map[mail.Domain]*tally
	// waiting are the reports of days that are over, by domain and day.
	waiting map[waitingKey]*waiting
	// size is about how many octets all of them take.
	size  int
	dirty bool
	saved time.Time
}

type waitingKey struct {
	domain mail.Domain
	day    time.Time
}

// waiting is a report that is to be sent.
type waiting struct {
	waitingKey
	*tally
	id string
	// due is when it is tried next, first when it was tried first.
	due, first time.Time
	attempts   int
	// busy holds during an attempt.
	busy bool
}

// New returns a Reporter that goes on with what is in the file at Path. A file
// that cannot be understood is set aside and reported in the log.
func New(o Options) (*Reporter, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Reporter{
		options: o.withDefaults(),
		domains: map[mail.Domain]*tally{}, waiting: map[waitingKey]*waiting{},
	}
	var err error
	if r.metrics, err = newMetrics(o.Metrics, r); err != nil {
		return nil, err
	}
	r.day, r.saved = dayOf(time.Now()), time.Now()
	return r, r.load()
}

func dayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// Record counts a session. What does not fit into the bounds is counted as
// lost.
func (r *Reporter) Record(s Session) {
	if !reportable(s.Domain) {
		return
	}
	kept := s.clean()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.roll(time.Now())
	r.dirty = true
	r.metrics.session(len(s.Failures) > 0)
	t := r.domains[kept.Domain]
	if t == nil {
		t = newTally()
		if len(r.domains) >= r.options.MaxDomains || t.size > r.room() {
			r.metrics.lose(lostDomain, 1)
			return
		}
		r.domains[kept.Domain] = t
		r.size += t.size
	}
	before := t.size
	lost := t.add(&kept, r.room())
	r.size += t.size - before
	r.metrics.lose(lost, 1)
}

func (r *Reporter) room() int { return r.options.MaxMemory - r.size }

// roll makes reports of the day that is over. A clock that goes back changes
// nothing. The caller holds r.mu.
func (r *Reporter) roll(now time.Time) {
	today := dayOf(now)
	if !today.After(r.day) {
		return
	}
	for domain, t := range r.domains {
		if len(t.policies) == 0 { // there was no room for any
			r.size -= t.size
			continue
		}
		r.enqueue(&waiting{
			waitingKey: waitingKey{domain, r.day}, tally: t,
			id: r.day.Format("20060102") + "." + r.options.Unique() + "@" + string(r.options.From.Domain()),
			// Not all senders at midnight (RFC 8460 section 4.1).
			due: now.Add(time.Second + time.Duration(r.options.Random()*float64(r.options.Spread))),
		})
	}
	r.day, r.domains, r.dirty = today, map[mail.Domain]*tally{}, true
	r.saved = time.Time{} // at the next opportunity
}

// enqueue lets a report wait, whose size is counted already. The caller holds
// r.mu.
func (r *Reporter) enqueue(w *waiting) {
	if len(r.waiting) >= r.options.MaxDomains {
		r.size -= w.size
		r.metrics.ended.WithLabelValues(endedLost).Inc()
		return
	}
	r.waiting[w.waitingKey] = w
}

// Run sends reports until ctx ends, and then saves what is left. The error is
// that of saving.
func (r *Reporter) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return r.save(true)
		case <-timer.C:
		}
		r.round(ctx)
		timer.Reset(tick)
	}
}

// round sends what is due and saves what is to be saved.
func (r *Reporter) round(ctx context.Context) {
	due := r.due(time.Now())
	queue := make(chan *waiting)
	var group sync.WaitGroup
	for range min(r.options.Parallel, len(due)) {
		group.Go(func() {
			for w := range queue {
				r.attempt(ctx, w)
			}
		})
	}
	for _, w := range due {
		queue <- w
	}
	close(queue)
	group.Wait()
	if err := r.save(len(due) > 0); err != nil {
		r.options.Logger.Error("TLS report counts could not be saved", "error", err)
	}
}

// maxRound bounds the reports of one round, so that saving is not put off for
// long.
const maxRound = 200

// due returns reports to be tried now, and drops those that are too old.
func (r *Reporter) due(now time.Time) []*waiting {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.roll(now)
	var due []*waiting
	for _, w := range r.waiting {
		switch {
		case w.busy || w.due.After(now):
		case w.expired(now, r.options.GiveUp):
			r.finish(w, endedExpired)
		case len(due) < maxRound:
			w.busy = true
			due = append(due, w)
		}
	}
	return due
}

func (w *waiting) expired(now time.Time, giveUp time.Duration) bool {
	if w.first.IsZero() {
		return now.Sub(w.day) > 24*time.Hour+stale
	}
	return now.Sub(w.first) > giveUp
}

// finish forgets a report. The caller holds r.mu.
func (r *Reporter) finish(w *waiting, how string) {
	delete(r.waiting, w.waitingKey)
	r.size -= w.size
	r.dirty = true
	r.metrics.ended.WithLabelValues(how).Inc()
	if how == endedExpired {
		r.options.Logger.Info("TLS report given up", "domain", string(w.domain), "day", w.day.Format(time.DateOnly), "attempts", w.attempts)
	}
}

package tracking

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/tracking/token"
)

const (
	// maxBatch is how many events are recorded at once at most; so many do not
	// wait for the window's end. What is behind the recorder works by the batch.
	maxBatch = 10_000
	// maxPause bounds the pauses between attempts to record.
	maxPause = 10 * time.Second
)

// newEvent numbers events behind a random text of the recorder's own.
func (r *recorder) newEvent(kind event.Type, message [12]byte, index uint32) event.Event {
	return event.Event{
		ID: r.name + strconv.FormatUint(r.number.Add(1), 36), Type: kind, Time: time.Now().UTC(),
		Message: MessageText(message), Index: int(index),
	}
}

// record notes a click or an opening, unless its message is too old.
func (t *Tracker) record(kind event.Type, of origin, url string) {
	if of.expired(t.recordFor) {
		t.metrics.expired.Inc()
		return
	}
	e := t.recorder.newEvent(kind, of.message, of.index)
	e.Person, e.URL = event.Person(of.person), url
	if of.counted != nil {
		e = t.countedEvent(e, of.counted)
	}
	t.recorder.add(e)
}

// countedEvent leaves of a hit what is the same for everybody: no message, no
// time but the day, and of a target what tells of nobody.
func (t *Tracker) countedEvent(e event.Event, c *token.Counted) event.Event {
	e.Message, e.Index, e.Person = "", 0, event.Person{}
	e.Tenant, e.Stream, e.Campaign = c.Tenant, c.Stream, c.Campaign
	e.Time = e.Time.Truncate(secondsPerDay * time.Second)
	if e.URL != "" {
		e.URL = t.cleanURL(e.URL)
	}
	return e
}

// recorder takes events without delay and has one goroutine write them down.
type recorder struct {
	to      Recorder
	logger  *slog.Logger
	metrics *metrics
	window  time.Duration
	limit   int

	// name begins the ids of events, number is that of the last one.
	name   string
	number atomic.Uint64

	mutex   sync.Mutex
	waiting []event.Event
	// writing counts events taken from waiting and not yet durable.
	writing int
	closed  bool
	// dropping reports that the buffer is full, so that the log says so once.
	dropping bool

	// arrived says that events wait, full that a whole batch does.
	arrived, full chan struct{}
	closing       chan struct{}
	done          chan struct{}
	// ctx ends when Shutdown's time is up.
	ctx    context.Context
	cancel context.CancelFunc
}

func newRecorder(o Options, m *metrics) *recorder {
	ctx, cancel := context.WithCancel(context.Background())
	r := &recorder{
		name: rand.Text() + "-", to: o.Recorder, logger: o.Logger, metrics: m, window: o.Window, limit: o.Buffer,
		arrived: make(chan struct{}, 1), full: make(chan struct{}, 1),
		closing: make(chan struct{}), done: make(chan struct{}), ctx: ctx, cancel: cancel,
	}
	go r.run()
	return r
}

// add never waits for the disk.
func (r *recorder) add(e event.Event) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.closed || len(r.waiting)+r.writing >= r.limit {
		r.drop()
		return
	}
	r.dropping = false
	r.waiting = append(r.waiting, e)
	r.metrics.waiting.Inc()
	switch len(r.waiting) {
	case 1:
		signal(r.arrived)
	case maxBatch:
		signal(r.full)
	}
}

// drop counts an event that found no place; the mutex is held.
func (r *recorder) drop() {
	r.metrics.dropped.Inc()
	if r.dropping {
		return
	}
	r.dropping = true
	r.logger.Error("tracking events are being dropped: too many wait to be recorded, or the tracker stopped",
		"waiting", len(r.waiting)+r.writing, "stopped", r.closed)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run writes until close, then writes the rest.
func (r *recorder) run() {
	defer close(r.done)
	for {
		select {
		case <-r.arrived:
			r.collect()
			r.flush()
		case <-r.closing:
			r.flush()
			return
		}
	}
}

// collect waits until the window is over, a batch is full, or close.
func (r *recorder) collect() {
	timer := time.NewTimer(r.window)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.full:
	case <-r.closing:
	}
}

// flush writes all that waits, what arrives meanwhile included.
func (r *recorder) flush() {
	for {
		taken := r.take()
		if len(taken) == 0 {
			return
		}
		for batch := range slices.Chunk(taken, maxBatch) {
			if !r.record(batch) {
				return
			}
			r.settle(len(batch))
		}
	}
}

func (r *recorder) take() []event.Event {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	taken := r.waiting
	// Those who record may keep what they got; the next batch is likely as long.
	r.waiting, r.writing = make([]event.Event, 0, min(len(taken), maxBatch)), r.writing+len(taken)
	return taken
}

func (r *recorder) settle(n int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.writing -= n
	r.metrics.waiting.Sub(float64(n))
	r.metrics.recorded.Add(float64(n))
}

// record tries until it succeeds; the events keep their ids, so that one
// written twice is known for one. It gives up when close's time is over.
func (r *recorder) record(batch []event.Event) bool {
	for pause := r.window; ; pause = min(2*pause, maxPause) {
		err := r.to.Record(r.ctx, batch)
		if err == nil {
			return true
		}
		r.metrics.failures.Inc()
		r.logger.Warn("recording tracking events failed, trying again", "events", len(batch), "error", err)
		select {
		case <-r.ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// close records what waits until ctx ends.
func (r *recorder) close(ctx context.Context) error {
	r.mutex.Lock()
	first := !r.closed
	r.closed = true
	r.mutex.Unlock()
	if first {
		close(r.closing)
	}
	stop := context.AfterFunc(ctx, r.cancel)
	defer stop()
	<-r.done
	r.cancel()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	left := len(r.waiting) + r.writing
	if left == 0 {
		return nil
	}
	r.waiting, r.writing = nil, 0
	r.metrics.dropped.Add(float64(left))
	r.metrics.waiting.Sub(float64(left))
	return fmt.Errorf("%d tracking events were not recorded", left)
}

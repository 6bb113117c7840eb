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
	"github.com/postrider-mta/postrider/tracking/hit"
	"github.com/postrider-mta/postrider/tracking/token"
)

const (
	// maxBatch is how many events are recorded at once at most; so many do not
	// wait for the window's end. What is behind the recorder works by the batch.
	maxBatch = 10_000
	// maxPause bounds the pauses between attempts to record.
	maxPause = 10 * time.Second
)

// newID numbers events behind a random text of the recorder's own.
func (r *recorder) newID() string { return r.name + strconv.FormatUint(r.number.Add(1), 36) }

func (r *recorder) newEvent(kind event.Type, message [12]byte, index uint32) event.Event {
	return event.Event{ID: r.newID(), Type: kind, Time: time.Now().UTC(), Message: MessageText(message), Index: int(index)}
}

// hits wait to become events, each with what its token says it belongs to.
type hits struct {
	all     []hit.Hit
	origins []origin
}

// recorder takes events without delay and has one goroutine write them down.
// Hits become events there.
type recorder struct {
	to         Recorder
	classifier *hit.Classifier
	logger     *slog.Logger
	metrics    *metrics
	window     time.Duration
	limit      int

	// name begins the ids of events, number is that of the last one.
	name   string
	number atomic.Uint64

	// cleanURL is that of the options.
	cleanURL func(string) string

	mutex   sync.Mutex
	waiting []event.Event
	hits    hits
	// writing counts what was taken from these and is not yet durable.
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
		name: rand.Text() + "-", to: o.Recorder, classifier: o.Classifier, cleanURL: o.CleanURL,
		logger: o.Logger, metrics: m, window: o.Window, limit: o.Buffer,
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
	if r.admit() {
		r.waiting = append(r.waiting, e)
	}
}

// addHit never waits for the disk.
func (r *recorder) addHit(h hit.Hit, of origin) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.admit() {
		r.hits.all, r.hits.origins = append(r.hits.all, h), append(r.hits.origins, of)
	}
}

// admit makes sure that there is place for one more, and that it is written;
// the mutex is held.
func (r *recorder) admit() bool {
	waiting := len(r.waiting) + len(r.hits.all)
	if r.closed || waiting+r.writing >= r.limit {
		r.drop()
		return false
	}
	r.dropping = false
	switch waiting + 1 {
	case 1:
		signal(r.arrived)
	case maxBatch:
		signal(r.full)
	}
	return true
}

// left is how many are not yet durable.
func (r *recorder) left() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return len(r.waiting) + len(r.hits.all) + r.writing
}

// drop counts an event that found no place; the mutex is held.
func (r *recorder) drop() {
	r.metrics.dropped.Inc()
	if r.dropping {
		return
	}
	r.dropping = true
	r.logger.Error("tracking events are being dropped: too many wait to be recorded, or the tracker stopped",
		"waiting", len(r.waiting)+len(r.hits.all)+r.writing, "stopped", r.closed)
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
		events, arrived := r.take()
		if len(events)+len(arrived.all) == 0 {
			return
		}
		for batch := range slices.Chunk(events, maxBatch) {
			if !r.record(batch) {
				return
			}
		}
		r.classifier.Sift(arrived.all)
		for from := 0; from < len(arrived.all); from += maxBatch {
			to := min(from+maxBatch, len(arrived.all))
			if !r.record(r.events(hits{arrived.all[from:to], arrived.origins[from:to]})) {
				return
			}
		}
	}
}

func (r *recorder) take() ([]event.Event, hits) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	events, arrived := r.waiting, r.hits
	r.writing += len(events) + len(arrived.all)
	// The next batch is likely as long.
	room := min(len(arrived.all), maxBatch)
	r.waiting, r.hits = nil, hits{make([]hit.Hit, 0, room), make([]origin, 0, room)}
	return events, arrived
}

// events makes those of hits, which are counted by what was found of them.
func (r *recorder) events(of hits) []event.Event {
	events := make([]event.Event, len(of.all))
	for i := range of.all {
		h, from, e := &of.all[i], &of.origins[i], &events[i]
		e.ID, e.Type, e.Time = r.newID(), event.Clicked, h.Time.UTC()
		if h.Kind == hit.Open {
			e.Type = event.Opened
		}
		e.URL, e.Machine = h.URL, h.Machine.String()
		if from.counted != nil {
			r.nameNobody(e, from.counted)
		} else {
			e.Message, e.Index, e.Person = MessageText(from.message), int(from.index), event.Person(from.person)
		}
		r.metrics.countMachine(h.Machine)
	}
	return events
}

// nameNobody leaves of a hit what is the same for everybody: no message, no time
// but the day, and of a target what tells of nobody.
func (r *recorder) nameNobody(e *event.Event, c *token.Counted) {
	e.Tenant, e.Stream, e.Campaign = c.Tenant, c.Stream, c.Campaign
	e.Time = e.Time.Truncate(secondsPerDay * time.Second)
	if e.URL != "" {
		e.URL = r.cleanURL(e.URL)
	}
}

func (r *recorder) settle(n int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.writing -= n
	r.metrics.recorded.Add(float64(n))
}

// record tries until it succeeds; the events keep their ids, so that one
// written twice is known for one. It gives up when close's time is over.
func (r *recorder) record(batch []event.Event) bool {
	for pause := r.window; ; pause = min(2*pause, maxPause) {
		err := r.to.Record(r.ctx, batch)
		if err == nil {
			r.settle(len(batch))
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
	left := len(r.waiting) + len(r.hits.all) + r.writing
	if left == 0 {
		return nil
	}
	r.waiting, r.hits, r.writing = nil, hits{}, 0
	r.metrics.dropped.Add(float64(left))
	return fmt.Errorf("%d tracking events were not recorded", left)
}

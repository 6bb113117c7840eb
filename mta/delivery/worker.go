package delivery

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/queue"
)

// batch is recipients of one message on their way into one transaction.
type batch struct {
	lane       *lane
	deliveries []*queue.Delivery
	// prepared is what to send; nil until it is known.
	prepared *prepared
	// transaction is the same as the client is given it.
	transaction smtpclient.Transaction
	// revision is the gate's when it was asked about the deliveries.
	revision uint64
	// begun is when it was offered to the server.
	begun time.Time
	// retried: a connection broke before the server had looked at it.
	retried bool
}

// worker holds one slot of a lane, and its connection. Two goroutines work for
// it: one prepares what the other sends, a message ahead of those under way.
type worker struct {
	engine *Engine
	lane   *lane
	slot   *shape.Slot

	// dismissed: to go when nothing is at hand.
	dismissed atomic.Bool
	roused    chan struct{}
	// connected is closed when the first connection is; done when the sender
	// takes no more.
	connected, done chan struct{}
	extensions      atomic.Pointer[smtpclient.Extensions]

	// Guarded by site.mu. dialing: it never had a connection. reach is how many
	// messages a round trip carries, as far as is known. resigned: it takes no
	// more work.
	dialing, resigned bool
	reach             int

	// Of the feeder alone: messages and recipients taken.
	messages, recipients int

	// Of the sender alone.
	session Session
	addr    netip.AddrPort
	host    route.Host
	tls     *event.TLS
	// flying is what the server has not answered yet, again what goes next
	// because a connection broke before the server had looked at it.
	flying, again []*batch
	// single: this session was asked for one message at a time. sent counts
	// those that it has got an answer for.
	single bool
	sent   int
	// known is the reach that the lane was told.
	known int
}

func newWorker(l *lane, slot *shape.Slot) *worker {
	return &worker{
		engine: l.site.engine, lane: l, slot: slot, dialing: true, reach: 1,
		roused:    make(chan struct{}, 1),
		connected: make(chan struct{}), done: make(chan struct{}),
	}
}

// rouse ends the worker's idleness.
func (w *worker) rouse() {
	select {
	case w.roused <- struct{}{}:
	default:
	}
}

// dismiss sends the worker home as soon as nothing is at hand.
func (w *worker) dismiss() {
	w.dismissed.Store(true)
	w.rouse()
}

// overstays reports that the worker has had its turn while others wait, or has
// used up what its connection may carry.
func (w *worker) overstays() bool {
	if limit := w.slot.Limits().MessagesPerConnection; limit > 0 && w.messages >= limit {
		return true
	}
	if w.slot.Surplus(time.Now()) {
		return true
	}
	return w.recipients >= turn && (w.lane.site.starved || w.engine.capacity.pressed())
}

// idle waits to be roused, and reports false when nobody did.
func (w *worker) idle() bool {
	w.engine.capacity.rest(w)
	defer w.engine.capacity.unrest(w)
	if w.engine.capacity.pressed() {
		return w.unlist()
	}
	timer := time.NewTimer(w.engine.options.IdleTimeout)
	defer timer.Stop()
	select {
	case <-w.roused:
		w.unlist()
		return true
	case <-timer.C:
	case <-w.done:
	case <-w.engine.life.soft().Done():
	}
	return w.unlist()
}

// unlist takes the worker off the idle ones. It reports true when somebody was
// faster and counts on the worker.
func (w *worker) unlist() bool {
	s := w.lane.site
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(w.lane.idle, w)
	if i < 0 {
		return true
	}
	w.lane.idle = slices.Delete(w.lane.idle, i, i+1)
	return false
}

// pause waits for the site's rate, and reports false when the worker must go.
func (w *worker) pause(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.done:
	case <-w.engine.life.soft().Done():
	}
	return false
}

// run serves the lane until there is no more for it to do.
func (w *worker) run() {
	batches := make(chan *batch)
	go w.feed(batches) // ends before run does: run drains batches
	w.serve(batches)
	w.land()
	close(w.done)
	for b := range batches {
		w.engine.giveBack(b.deliveries)
	}
	for _, b := range w.again {
		w.engine.giveBack(b.deliveries)
	}
	w.hangUp()
	w.lane.site.leave(w)
}

// serve sends batches until there are no more, or the worker is of no more
// use.
func (w *worker) serve(batches <-chan *batch) {
	for batches != nil || len(w.flying)+len(w.again) > 0 {
		if len(w.again) > 0 {
			b := w.again[0]
			w.again = w.again[1:]
			if !w.send(b) {
				return
			}
			continue
		}
		select {
		case b, more := <-batches:
			if !more {
				batches = nil
			} else if !w.send(b) {
				return
			}
		case r := <-w.results():
			if !w.receive(r) {
				return
			}
		}
	}
}

// results are those of the connection; nil where there is none.
func (w *worker) results() <-chan smtpclient.Result {
	if w.session == nil {
		return nil
	}
	return w.session.Results()
}

// land waits for the answers to what is under way.
func (w *worker) land() {
	for len(w.flying) > 0 {
		w.receive(<-w.results())
	}
}

// feed takes batches from the site and prepares them while the one before is
// being sent. The first goes unprepared: what the server can take is not known
// yet, and perhaps there is none.
func (w *worker) feed(batches chan<- *batch) {
	defer close(batches)
	defer w.lane.site.resign(w)
	for {
		b := w.lane.site.next(w)
		if b == nil {
			return
		}
		w.messages++
		w.recipients += len(b.deliveries)
		if extensions := w.extensions.Load(); extensions != nil && !w.engine.prepare(b, *extensions) {
			continue
		}
		select {
		case batches <- b:
		case <-w.done:
			w.engine.giveBack(b.deliveries)
			return
		}
		select {
		case <-w.connected:
		case <-w.done:
			return
		}
	}
}

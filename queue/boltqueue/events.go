package boltqueue

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

const (
	// pendingBatches bounds what waits in memory for the event log, in
	// batches; beyond that the journal is read again.
	pendingBatches = 10
	firstBackOff   = 100 * time.Millisecond
	longestBackOff = 10 * time.Second
	// closingTime is how long Close waits for the event log.
	closingTime = 10 * time.Second
)

// committedRecord is a journal record as the event writer needs it: value is
// an *acceptance, *outcomes, *dropped or recorded.
type committedRecord struct {
	position, end journal.Position
	value         any
}

// count returns how many events are in the record.
func (c *committedRecord) count() int {
	switch v := c.value.(type) {
	case *acceptance:
		return len(v.recipients)
	case *outcomes:
		return len(v.events)
	case *dropped:
		return len(v.recipients)
	case recorded:
		return len(v)
	}
	return 0
}

func (c *committedRecord) event(i int) event.Event {
	switch v := c.value.(type) {
	case *acceptance:
		return queue.AcceptedEvent(v.message, i, v.recipients[i].Address)
	case *outcomes:
		return v.events[i]
	case *dropped:
		return v.event(i)
	}
	return c.value.(recorded)[i]
}

// eventWriter gives the events of durable records to the event log, in order.
// While it keeps up they come to it from the committer; when it falls behind,
// and after a start, it reads the journal.
type eventWriter struct {
	store *Store
	log   EventLog
	wake  chan struct{}
	// after is the position of the last event that the log has.
	after journal.Position
	// reached is behind the last record whose events are in the batch or in
	// the log.
	reached journal.Position
	// stored is behind the last record whose events the log has.
	stored atomic.Uint64
	// last is after for others to read.
	last  atomic.Uint64
	batch []event.Record

	mu sync.Mutex
	// live: groups come from the committer.
	live    bool
	pending []committedRecord
	count   int
	// next is behind the last record taken.
	next journal.Position
}

func newEventWriter(s *Store, after journal.Position) *eventWriter {
	w := &eventWriter{
		store: s, log: s.options.Events, wake: make(chan struct{}, 1), after: after,
		// The position names an event inside a record: look for the record.
		next: journal.MakePosition(after.Segment(), 0),
	}
	w.reached = w.next
	w.stored.Store(uint64(w.next))
	w.last.Store(uint64(after))
	if w.log == nil {
		w.stored.Store(math.MaxUint64)
		w.last.Store(math.MaxUint64)
	}
	return w
}

// kept returns the position of the last event that the log has: its segment is
// looked for at a start, even if records without events came behind it.
func (w *eventWriter) kept() journal.Position { return journal.Position(w.last.Load()) }

// passed returns the position below which no record is needed for its events.
func (w *eventWriter) passed() journal.Position { return journal.Position(w.stored.Load()) }

// committed takes a durable group, in order.
func (w *eventWriter) committed(group []*journal.Write) {
	if w.log == nil {
		return
	}
	w.mu.Lock()
	for _, write := range group {
		if !w.live || write.Position < w.next {
			continue
		}
		if w.count >= pendingBatches*w.store.options.EventBatch {
			w.live = false
			break
		}
		c := committedRecord{write.Position, write.End, write.Value}
		w.pending = append(w.pending, c)
		w.count += c.count()
		w.next = write.End
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *eventWriter) run() {
	if w.log == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for closing := false; ; closing = w.await(cancel) {
		err := w.advance(ctx)
		if err != nil {
			w.rewind()
		}
		if closing {
			if err != nil {
				w.store.options.Logger.Warn("store: events stay in the journal until the next start", "error", err)
			}
			return
		}
	}
}

// rewind lets the next advance begin behind what the log has for sure.
func (w *eventWriter) rewind() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batch, w.pending, w.count, w.live = nil, nil, 0, false
	w.next = w.passed()
}

// await waits for more to do and collects for a moment. It reports whether the
// store is closing, which limits the rest in time.
func (w *eventWriter) await(cancel func()) (closing bool) {
	select {
	case <-w.wake:
		w.linger()
		return false
	case <-w.store.stop:
		time.AfterFunc(closingTime, cancel)
		return true
	}
}

func (w *eventWriter) linger() {
	w.mu.Lock()
	enough := w.count >= w.store.options.EventBatch || !w.live
	w.mu.Unlock()
	if !enough {
		w.store.pause(w.store.options.EventDelay)
	}
}

// advance gives the log all there is.
func (w *eventWriter) advance(ctx context.Context) error {
	for {
		if err := w.drain(ctx); err != nil {
			return err
		}
		from, more := w.behind()
		if !more {
			return nil
		}
		if err := w.catchUp(ctx, from); err != nil {
			return err
		}
	}
}

// drain gives on what came from the committer.
func (w *eventWriter) drain(ctx context.Context) error {
	w.mu.Lock()
	pending := w.pending
	w.pending, w.count = nil, 0
	w.mu.Unlock()
	for i := range pending {
		if err := w.give(ctx, &pending[i]); err != nil {
			return err
		}
		pending[i].value = nil
	}
	return w.flush(ctx)
}

// behind returns from where the journal has to be read, if the committer's
// groups no longer come live; otherwise they do from now on.
func (w *eventWriter) behind() (from journal.Position, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) == 0 && w.next >= w.store.journal.End() {
		w.live = true
	}
	return w.next, !w.live
}

// catchUp reads the journal from where the committer's groups ended.
func (w *eventWriter) catchUp(ctx context.Context, from journal.Position) error {
	if err := w.drain(ctx); err != nil {
		return err // what came live before comes first
	}
	end := w.store.journal.End()
	err := w.store.journal.Scan(from, func(r journal.Record) error {
		c, err := decodeCommitted(r)
		if err != nil {
			w.store.damaged.Add(1)
			w.store.options.Logger.Error("store: events of a record not understood", "position", r.Position, "error", err)
			return nil
		}
		return w.give(ctx, &c)
	})
	if err != nil {
		return err
	}
	w.reached = max(w.reached, end)
	w.mu.Lock()
	w.next = w.reached
	w.mu.Unlock()
	return w.flush(ctx)
}

func decodeCommitted(r journal.Record) (committedRecord, error) {
	c := committedRecord{position: r.Position, end: r.End}
	var err error
	switch r.Kind {
	case kindAccept:
		c.value, err = decodeAcceptance(r.Payload)
	case kindOutcome:
		c.value, err = decodeOutcomeEvents(r.Payload)
	case kindDropped:
		c.value, err = decodeDropped(r.Payload)
	case kindEvents:
		var encoded [][]byte
		if encoded, err = decodeEvents(r.Payload); err == nil {
			c.value, err = decodeAll(encoded)
		}
	}
	return c, err
}

func decodeOutcomeEvents(payload []byte) (any, error) {
	changes, err := decodeChanges(payload)
	if err != nil {
		return nil, err
	}
	var encoded [][]byte
	for i := range changes {
		if len(changes[i].event) > 0 {
			encoded = append(encoded, changes[i].event)
		}
	}
	return decodeAll(encoded)
}

func decodeAll(encoded [][]byte) (any, error) {
	events := make(recorded, len(encoded))
	for i, b := range encoded {
		e, err := decodeEvent(b)
		if err != nil {
			return nil, err
		}
		events[i] = e
	}
	return events, nil
}

// give adds a record's events to the batch. Their positions are those of the
// record's octets: each has more of them than it has events.
func (w *eventWriter) give(ctx context.Context, c *committedRecord) error {
	for i := range c.count() {
		position := c.position + journal.Position(i)
		if position <= w.after {
			continue
		}
		w.batch = append(w.batch, event.Record{Position: uint64(position), Event: c.event(i)})
		if len(w.batch) >= w.store.options.EventBatch {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
	}
	w.reached = c.end
	return nil
}

// flush gives the batch to the log, again and again if it fails: the journal
// keeps what waits, and mail flows on.
func (w *eventWriter) flush(ctx context.Context) error {
	for backOff := firstBackOff; len(w.batch) > 0; backOff = min(2*backOff, longestBackOff) {
		err := w.log.Append(ctx, w.batch)
		if err == nil {
			w.after = journal.Position(w.batch[len(w.batch)-1].Position)
			w.last.Store(uint64(w.after))
			clear(w.batch)
			w.batch = w.batch[:0]
			break
		}
		if w.store.stopping() {
			return err
		}
		w.store.options.Logger.Warn("store: event log failed, trying again", "error", err, "pause", backOff)
		w.store.pause(backOff)
	}
	w.stored.Store(uint64(w.reached))
	return nil
}

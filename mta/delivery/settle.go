package delivery

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/queue"
)

const (
	firstSettlePause = 50 * time.Millisecond
	maxSettlePause   = 5 * time.Second
	// lastSettle bounds the last try when the engine must end.
	lastSettle = 5 * time.Second
)

// settler writes outcomes, or deferrals, to the store: whatever is waiting in
// one call, so that the busier all are, the fewer the writes. What it was given
// stays leased until the store has it; while the store fails, those who add
// are held up once as much waits as may be in flight.
type settler[T queue.Outcome | queue.Deferral] struct {
	engine *Engine
	name   string
	write  func(context.Context, []T) error

	mu      sync.Mutex
	changed sync.Cond
	waiting []T
	// finished: nobody adds any more. failed: nobody writes any more.
	finished, failed bool
}

func newSettler[T queue.Outcome | queue.Deferral](e *Engine, name string, write func(context.Context, []T) error) *settler[T] {
	s := &settler[T]{engine: e, name: name, write: write}
	s.changed.L = &s.mu
	return s
}

func (s *settler[T]) add(one T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) >= s.engine.options.MaxInFlight && !s.failed {
		s.changed.Wait()
	}
	if s.failed {
		return
	}
	s.waiting = append(s.waiting, one)
	if len(s.waiting) == 1 {
		s.changed.Broadcast()
	}
}

// finish lets run return once everything is written.
func (s *settler[T]) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	s.changed.Broadcast()
}

// run writes until it is finished. When ctx ends it gives up on what the
// store does not take.
func (s *settler[T]) run(ctx context.Context) {
	for {
		batch := s.take()
		if len(batch) == 0 {
			return
		}
		if !s.persist(ctx, batch) {
			s.giveUp(len(batch))
			return
		}
		s.engine.inFlight.Add(-int64(len(batch)))
	}
}

// take waits for something to write; nothing comes when all is done.
func (s *settler[T]) take() []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) == 0 && !s.finished {
		s.changed.Wait()
	}
	batch := s.waiting
	s.waiting = nil
	s.changed.Broadcast()
	return batch
}

// persist calls the store until it takes the batch, or ctx ends.
func (s *settler[T]) persist(ctx context.Context, batch []T) bool {
	for pause := firstSettlePause; ; pause = min(2*pause, maxSettlePause) {
		err := s.once(ctx, batch)
		switch {
		case err == nil:
			return true
		case errors.Is(err, queue.ErrNotFound):
			return s.oneByOne(ctx, batch, err)
		case errors.Is(err, queue.ErrClosed):
			return false
		}
		s.report(err, len(batch))
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// once writes the batch; even when ctx has ended it tries, for a last time.
func (s *settler[T]) once(ctx context.Context, batch []T) error {
	if ctx.Err() == nil {
		return s.write(ctx, batch)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSettle)
	defer cancel()
	return s.write(last, batch)
}

// oneByOne writes a batch in which the store does not know a recipient. Such a
// one is gone already: nothing is owed for it.
func (s *settler[T]) oneByOne(ctx context.Context, batch []T, err error) bool {
	if len(batch) == 1 {
		s.report(err, 1)
		return true
	}
	for i := range batch {
		if !s.persist(ctx, batch[i:i+1]) {
			return false
		}
	}
	return true
}

func (s *settler[T]) report(err error, count int) {
	s.engine.metrics.storeErrors.WithLabelValues(s.name).Inc()
	s.engine.options.Logger.Error("store failed", "operation", s.name, "recipients", count, "error", err)
}

// giveUp releases those who wait to add. What is lost here was done but is not
// known to be: it will be done again.
func (s *settler[T]) giveUp(unwritten int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = true
	unwritten += len(s.waiting)
	s.changed.Broadcast()
	s.engine.options.Logger.Error("outcomes could not be written; these recipients will be tried again",
		"operation", s.name, "recipients", unwritten)
}

package watch

import (
	"context"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/event"
)

// Source is the log of events; event/log has it.
type Source interface {
	Position() (uint64, error)
	Follow(ctx context.Context, after uint64, handle func([]event.Record) error) error
}

// firstRest and longestRest bound the pauses after a failure to act.
const (
	firstRest   = time.Second
	longestRest = time.Minute
)

// Run counts and judges what comes until ctx ends, and returns nil then, or what
// the log fails with. A decision that cannot be carried out is tried again: the
// events behind it wait in the log.
func (w *Watcher) Run(ctx context.Context, log Source) error {
	if err := w.begin(ctx, log); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var saver sync.WaitGroup
	saver.Go(func() { w.saveAtTimes(ctx) })
	err := log.Follow(ctx, w.position(), func(records []event.Record) error { return w.handle(ctx, records) })
	ended := ctx.Err() != nil
	cancel()
	saver.Wait()
	w.trySave()
	if ended {
		return nil
	}
	return err
}

// begin compares what is known with the log and with the holds in force.
func (w *Watcher) begin(ctx context.Context, log Source) error {
	newest, err := log.Position()
	if err != nil {
		return err
	}
	holding, err := w.options.Holding(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.begun:
		w.cursor, w.begun, w.dirty = newest, true, true
	case w.cursor > newest:
		w.options.Logger.Warn("the event log is older than what rates were counted of: only what comes is counted",
			"position", w.cursor, "log", newest)
		w.cursor, w.dirty = newest, true
	}
	now := w.options.Now()
	w.senders.each(func(r *record) {
		if r.Hold != "" && !holding[r.Hold] {
			w.remembered -= len(r.Cohort)
			r.release(now)
			w.dirty = true
		}
	})
	return nil
}

func (w *Watcher) position() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cursor
}

func (w *Watcher) handle(ctx context.Context, records []event.Record) error {
	for i := range records {
		held := false
		for _, d := range w.take(&records[i]) {
			if !w.insist(ctx, d) {
				return ctx.Err()
			}
			w.done(d)
			held = held || d.Action == Hold
		}
		if held {
			w.trySave() // or a crash behind its release would hold it again
		}
	}
	return nil
}

// insist carries a decision out, however long it takes, unless ctx ends.
func (w *Watcher) insist(ctx context.Context, d *Decision) bool {
	for rest := firstRest; ; rest = min(2*rest, longestRest) {
		err := w.options.Act(ctx, d)
		if err == nil {
			return true
		}
		if ctx.Err() == nil {
			w.options.Logger.Error("what follows from a rate cannot be done for now", "reason", d.Reason, "action", string(d.Action), "error", err)
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return false
		}
	}
}

// saveCost is how many times longer than the last writing the file is left
// alone at least.
const saveCost = 50

func (w *Watcher) saveAtTimes(ctx context.Context) {
	for pause := w.options.Save; ; {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		begun := time.Now()
		w.trySave()
		pause = max(w.options.Save, saveCost*time.Since(begun))
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/boltqueue"
)

const (
	// keptOf is of how many messages one waits when the others are settled.
	keptOf = 8
	// undisturbed is how long mail comes in without a compaction.
	undisturbed = 5 * time.Second
	// loadPause is between two messages of one of those who hand mail in.
	loadPause = 50 * time.Millisecond
	// compactName is the file that a compaction writes.
	compactName = "queue.db.compact"
)

// compaction is what was measured of one.
type compaction struct {
	// Length is that of queue.db before, Free about what of it was free, and
	// Then its length behind it.
	Length, Free, Then int64
	// Full says why a message was not accepted with max_bytes below Length;
	// empty if it was.
	Full string
	// Before is the slowest accept without a compaction, Slowest the one during
	// it, and Took how long it took.
	Before, Slowest, Took time.Duration
	// Accepted and Refused are the messages that came meanwhile.
	Accepted, Refused int64
}

// compact settles most, and lets mail come in while queue.db is written anew.
func (f *filler) compact(ctx context.Context) error {
	f.owed = int64(f.plan.Recipients / keptOf)
	if err := f.drain(ctx); err != nil {
		return err
	}
	c := &f.result.Compaction
	load := f.startLoad(ctx)
	err := pause(ctx, undisturbed)
	load.stop()
	c.Before = time.Duration(load.slowest.Load())
	stats := f.store.Stats()
	c.Length = stats.DatabaseBytes
	if err = errors.Join(err, f.store.Close(), f.tryFull(ctx, stats)); err != nil {
		return err
	}
	f.drained = true
	if err := f.open(); err != nil {
		return err
	}
	load = f.startLoad(ctx)
	err = f.awaitCompaction(ctx, load)
	load.stop()
	c.Slowest = time.Duration(load.slowestWatched.Load())
	c.Accepted, c.Refused = load.accepted.Load(), load.refused.Load()
	c.Then = f.store.Stats().DatabaseBytes
	c.Free = max(0, c.Length-c.Then)
	return err
}

// tryFull accepts a message while queue.db alone is longer than all may be.
func (f *filler) tryFull(ctx context.Context, stats queue.Stats) (err error) {
	f.store, err = boltqueue.Open(boltqueue.Options{
		Dir: f.plan.Dir, RestartDelay: -1, CompactFreeShare: -1, MaxBytes: stats.JournalBytes + stats.DatabaseBytes/2,
	})
	if err != nil {
		return err
	}
	if err := f.acceptOne(ctx, f.kept()); err != nil {
		f.result.Compaction.Full = err.Error()
	}
	return f.store.Close()
}

// awaitCompaction watches one from its begin to its end.
func (f *filler) awaitCompaction(ctx context.Context, l *load) error {
	path := filepath.Join(f.plan.Dir, compactName)
	var began time.Time
	for end := time.Now().Add(patience); time.Now().Before(end); {
		_, err := os.Stat(path)
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		case err == nil && began.IsZero():
			began = time.Now()
			l.watched.Store(true)
		case err != nil && !began.IsZero():
			f.result.Compaction.Took = time.Since(began)
			return pause(ctx, time.Second) // what waited is through then
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("no compaction within %v", patience)
}

// load is mail that comes in.
type load struct {
	cancel context.CancelFunc
	group  sync.WaitGroup
	// slowest is the longest accept in nanoseconds, slowestWatched that of those
	// that ended while watched is set.
	slowest, slowestWatched atomic.Int64
	watched                 atomic.Bool
	accepted, refused       atomic.Int64
}

func (f *filler) startLoad(ctx context.Context) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel}
	for range fillers {
		l.group.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				// in a context of its own: what has begun is to end
				l.note(start, f.acceptOne(context.WithoutCancel(ctx), f.kept()))
				_ = pause(ctx, loadPause) // its end is the loop's
			}
		})
	}
	return l
}

// kept is the first recipient of a message that is not due.
func (f *filler) kept() int {
	every := keptOf * f.plan.PerMessage
	return every * rand.IntN(max(1, f.plan.Recipients/every))
}

func (l *load) stop() {
	l.cancel()
	l.group.Wait()
}

func (l *load) note(start time.Time, err error) {
	took := int64(time.Since(start))
	raise(&l.slowest, took)
	if !l.watched.Load() {
		return
	}
	raise(&l.slowestWatched, took)
	if err != nil {
		l.refused.Add(1)
	} else {
		l.accepted.Add(1)
	}
}

func raise(most *atomic.Int64, value int64) {
	for old := most.Load(); value > old && !most.CompareAndSwap(old, value); old = most.Load() {
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

const (
	// drainers settle at once, batch recipients each time.
	drainers = 8
	batch    = 200
	// settling is how long the disk may take to come back.
	settling = 30 * time.Second
)

// drain delivers all that is due.
func (f *filler) drain(ctx context.Context) error {
	start := time.Now()
	keys := make(chan queue.Key)
	var group sync.WaitGroup
	errs := make(chan error, drainers+1)
	for range drainers {
		group.Go(func() {
			for key := range keys {
				if err := f.drainQueue(ctx, key); err != nil {
					errs <- err
				}
			}
		})
	}
	errs <- f.ready(ctx, keys)
	close(keys)
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	f.result.Drain = time.Since(start)
	return nil
}

// ready hands out the queues until no more is owed than stays.
func (f *filler) ready(ctx context.Context, keys chan<- queue.Key) error {
	for f.store.Stats().Recipients > f.owed {
		soon, cancel := context.WithTimeout(ctx, time.Second)
		ready, err := f.store.Ready(soon)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		for _, key := range ready {
			select {
			case keys <- key:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (f *filler) drainQueue(ctx context.Context, key queue.Key) error {
	for {
		deliveries, err := f.store.Next(ctx, key, batch)
		if err != nil {
			return err
		}
		outcomes := make([]queue.Outcome, len(deliveries))
		for i, d := range deliveries {
			e := d.Event(event.Delivered, time.Now())
			e.Site, e.Source = string(key.Domain), "default"
			e.Reply = &mail.Reply{Code: 250, Enhanced: mail.EnhancedCode{Class: 2}, Text: "queued as 4WxYz"}
			outcomes[i] = queue.Outcome{Recipient: d.ID(), Event: e}
		}
		if err := f.store.Settle(ctx, outcomes); err != nil {
			return err
		}
		if len(deliveries) < batch {
			return nil
		}
	}
}

// awaitDisk waits until the segments are gone and queue.db is small, and hands
// in one more message.
func (f *filler) awaitDisk(ctx context.Context) error {
	for end := time.Now().Add(settling); ; {
		stats := f.store.Stats()
		f.result.Journal, f.result.Database = stats.JournalBytes, stats.DatabaseBytes
		f.result.Largest = max(f.result.Largest, stats.DatabaseBytes)
		if stats.JournalBytes < 128<<20 && stats.DatabaseBytes < 64<<20 || time.Now().After(end) {
			break
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	if err := f.acceptOne(ctx, 0); err != nil {
		f.result.Refused = err.Error()
	}
	return nil
}

// drain measures how the disk comes back, how long a cancel takes, and what a
// compaction holds up.
func (b *bench) drain(ctx context.Context, recipients int) error {
	plan := fillPlan{Recipients: recipients, PerMessage: 10, Queues: b.queues, Body: 1 << 10}
	for _, kind := range []string{"drain", "cancel", "compact"} {
		dir := filepath.Join(b.dir, kind)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		plan.Dir, plan.Drain, plan.Cancel, plan.Compact = dir, kind == "drain", kind == "cancel", kind == "compact"
		fmt.Fprintf(os.Stderr, "bench-store: %s of %d recipients\n", kind, recipients)
		result, err := fill(ctx, plan)
		if err != nil {
			return err
		}
		b.figures.drained(kind, result)
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

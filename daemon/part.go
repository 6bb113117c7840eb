package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// part is something that serves until it is asked to stop.
type part struct {
	name string
	// serve returns when stop was called; earlier, and the daemon ends.
	serve func() error
	// stop makes serve return.
	stop func(context.Context) error
	// finish is how long serve may take, once asked, for what it has begun.
	finish time.Duration
}

var (
	// errEnded: a part ended without an error of its own.
	errEnded = errors.New("nobody asked it to")
	// errStuck: a part did not end in time. What it had under way goes on
	// until the process ends.
	errStuck = errors.New("it does not end")
)

// run starts a part. Its cleanup stops it and waits for it.
func (d *daemon) run(p part) {
	var asked atomic.Bool
	done := make(chan error, 1)
	go func() {
		err := p.serve()
		if !asked.Load() {
			if err == nil {
				err = errEnded
			}
			d.failures <- fmt.Errorf("%s ended: %w", p.name, err)
			err = nil // told already
		}
		done <- err
	}()
	d.cleanups.addWithin(p.finish+stopGrace, p.name, func(ctx context.Context) error {
		asked.Store(true)
		err := p.stop(ctx)
		return errors.Join(err, await(ctx, done))
	})
}

// background runs a part that ends with a context.
func (d *daemon) background(name string, finish time.Duration, serve func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	d.run(part{
		name: name, finish: finish,
		serve: func() error { return serve(ctx) },
		stop: func(context.Context) error {
			cancel()
			return nil
		},
	})
}

func await(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select { // it may have ended together with ctx
	case err := <-done:
		return err
	default:
		return errStuck
	}
}

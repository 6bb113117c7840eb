package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// sites measures what it costs to know many sites: each has failed, has mail
// waiting and is to be tried again, while the usual mail goes to a few others.
func (b *bench) sites(ctx context.Context) error {
	for _, n := range []int{10, 1000, 50_000} {
		progress("%d sites that are down", n)
		if err := b.known(ctx, n); err != nil {
			return fmt.Errorf("%d sites: %w", n, err)
		}
	}
	return nil
}

func (b *bench) known(ctx context.Context, n int) (err error) {
	living, dead := names("d", 20), names("dead", n)
	world, err := b.connect(ctx, living, dead)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.close()) }()
	idle, err := world.anonymous(ctx)
	if err != nil {
		return err
	}
	if err := submit(ctx, world.submission, n, 1<<10, dead); err != nil {
		return err
	}
	if err := world.deferred(ctx, n); err != nil {
		return err
	}
	memory, err := world.anonymous(ctx)
	if err != nil {
		return err
	}
	used, err := world.perMessage(ctx, b.messages, living)
	if err != nil {
		return err
	}
	b.figures.known(n, memory-idle, used)
	return nil
}

// deferred waits until so many attempts have failed.
func (n *internet) deferred(ctx context.Context, count int) error {
	client := n.Client()
	defer client.Close()
	for {
		totals, err := client.Totals(ctx)
		if err != nil || totals.Outcomes["deferred"] >= int64(count) {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d were tried: %w", totals.Outcomes["deferred"], count, err)
		}
	}
}

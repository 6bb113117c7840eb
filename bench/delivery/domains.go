package main

import (
	"context"
	"errors"
	"fmt"
)

// domains measures the daemon's processor time for a message to one, to a few
// and to many destinations, each a site of its own.
func (b *bench) domains(ctx context.Context) error {
	for _, n := range []int{1, 20, 2000} {
		progress("%d messages to %d domains", b.messages, n)
		if err := b.spread(ctx, n); err != nil {
			return fmt.Errorf("%d domains: %w", n, err)
		}
	}
	return nil
}

func (b *bench) spread(ctx context.Context, n int) (err error) {
	domains := names("d", n)
	world, err := b.connect(ctx, domains, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.close()) }()
	used, err := world.perMessage(ctx, b.messages, domains)
	if err != nil {
		return err
	}
	b.figures.spread(n, used, world.sink.server.Counters())
	return nil
}

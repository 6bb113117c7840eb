package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/internal/testmx"
)

// waiting is what waits for a paused site.
const waiting = 2000

// resume measures how soon a site that was paused is sent to again: after the
// pause has ended by itself, and after it was lifted.
func (b *bench) resume(ctx context.Context) error {
	for _, lift := range []bool{false, true} {
		progress("a paused site resumes, lifted: %v", lift)
		if err := b.paused(ctx, lift); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) paused(ctx context.Context, lift bool) (err error) {
	addr, err := reserve("127.0.0.1")
	if err != nil {
		return err
	}
	dir, err := b.folder()
	if err != nil {
		return err
	}
	d, err := b.serve(ctx, dir, fmt.Sprintf(resumeDelivery, addr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := submit(ctx, d.submission, waiting, messageSize, names("d", 1)); err != nil {
		return err
	}
	client := d.Client()
	defer client.Close()
	throttle, err := d.throttled(ctx, client)
	if err != nil {
		return err
	}
	s, err := startSink(testmx.Options{Addr: addr.String()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.server.Close()) }()
	from := throttle.Until
	if lift {
		from = time.Now()
		if _, err := client.Lift(ctx, api.LiftRequest{Site: throttle.Site}); err != nil {
			return err
		}
	}
	return b.recover(ctx, s, lift, from)
}

// recover notes how long after a moment the first message and nearly all of
// them came; those that were on their way when the site failed wait longer.
func (b *bench) recover(ctx context.Context, s *sink, lifted bool, from time.Time) error {
	if err := s.await(ctx, 1, never); err != nil {
		return err
	}
	first := time.Since(from)
	if err := s.await(ctx, waiting*9/10, never); err != nil {
		return err
	}
	b.figures.resumed(lifted, first, time.Since(from))
	return nil
}

const resumeDelivery = `
[delivery]
drain_timeout = "1s"

[[route]]
match = "*"
via = %q
`

// throttled waits for a pause that is long enough to start a server in.
func (i *instance) throttled(ctx context.Context, client *api.Client) (api.Throttle, error) {
	for {
		all, err := client.Throttles(ctx)
		if err != nil {
			return api.Throttle{}, err
		}
		for _, t := range all {
			if time.Until(t.Until) > time.Second {
				return t, nil
			}
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return api.Throttle{}, err
		}
	}
}

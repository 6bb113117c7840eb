package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
)

// way is what a server offers.
type way struct {
	name    string
	without testmx.Extensions
}

func ways() []way {
	return []way{
		{"neither", testmx.Extensions{Pipelining: true, Chunking: true}},
		{"pipelining", testmx.Extensions{Chunking: true}},
		{"chunking", testmx.Extensions{}},
	}
}

// roundTrips are the distances, there and back.
func roundTrips() []time.Duration {
	return []time.Duration{time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond}
}

const (
	// backlog is what waits to be sent while a rate is measured.
	backlog = 8000
	// warming is left out of the measurement, as is a tenth of the backlog.
	warming = time.Second
	// patience bounds the wait for a first message.
	patience = 30 * time.Second
)

// sender is what is measured: something that takes mail at an address and sends
// it to another over one connection.
type sending struct {
	submission string
	stop       func() error
}

// trips measures how many messages a second one connection carries over each
// distance.
func (b *bench) trips(ctx context.Context) error {
	postfix := findPostfix(ctx)
	b.figures.postfix = postfix.version(ctx)
	for _, trip := range roundTrips() {
		for _, w := range ways() {
			progress("one connection, %v away, %s", trip, w.name)
			rate, err := b.trip(ctx, trip, w, func(dir, target string) (sending, error) {
				d, err := b.serve(ctx, dir, fmt.Sprintf(byRoute, target))
				if err != nil {
					return sending{}, err
				}
				return sending{d.submission, d.stop}, nil
			})
			if err != nil {
				return err
			}
			b.figures.rate(trip, w.name, rate)
		}
		if !b.peer || postfix.missing != "" {
			continue
		}
		progress("Postfix, one connection, %v away", trip)
		rate, err := b.trip(ctx, trip, ways()[2], func(dir, target string) (sending, error) {
			return postfix.start(ctx, dir, target)
		})
		if err != nil {
			return err
		}
		b.figures.rate(trip, "postfix", rate)
	}
	return nil
}

// trip starts a system in front of a sink at a distance and measures its rate.
func (b *bench) trip(ctx context.Context, trip time.Duration, w way, start func(dir, target string) (sending, error)) (rate float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := startSink(testmx.Options{Without: w.without})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.server.Close()) }()
	proxy := testmx.NewProxy(testmx.ProxyOptions{Target: s.addr, Delay: trip / 2})
	target, err := proxy.Listen()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, proxy.Close()) }()
	dir, err := b.folder()
	if err != nil {
		return 0, err
	}
	system, err := start(dir, target.String())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, system.stop()) }()
	submitted := make(chan error, 1)
	go func() { submitted <- submit(ctx, system.submission, backlog, messageSize, names("d", 1)) }()
	rate, err = b.measure(ctx, s)
	cancel() // what is not handed in by now is not needed
	if failed := <-submitted; err == nil && !errors.Is(failed, context.Canceled) {
		err = failed
	}
	if n := s.server.Counters().Peak; err == nil && n > 1 {
		err = fmt.Errorf("%d connections at once", n)
	}
	return rate, err
}

// measure returns the messages a second that arrive once it goes smoothly.
func (b *bench) measure(ctx context.Context, s *sink) (float64, error) {
	if err := s.await(ctx, 1, after(patience)); err != nil {
		return 0, err
	}
	if err := s.await(ctx, backlog/10, after(warming)); err != nil {
		return 0, err
	}
	before, start := s.count(), time.Now()
	if err := s.await(ctx, backlog, after(b.span)); err != nil {
		return 0, err
	}
	return float64(s.count()-before) / time.Since(start).Seconds(), nil
}

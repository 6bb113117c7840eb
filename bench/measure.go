package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/postrider-mta/postrider/bench/gauge"
	"github.com/postrider-mta/postrider/bench/load"
)

// sampling is how often memory is looked at.
const sampling = 200 * time.Millisecond

// probeTime is how long the first message may take.
const probeTime = 30 * time.Second

// figures are what one measurement found.
type figures struct {
	acceptRate, deliverRate float64
	// Processor time for one message, of the system, generator and sink.
	cpu, generator, sink time.Duration
	memory               gauge.Memory
}

// bench is what all measurements share.
type bench struct {
	binary, dir              string
	messages, sessions, size int
	timeout                  time.Duration
}

// measure runs one job on a fresh instance.
func (b *bench) measure(ctx context.Context, s system, j job) (f figures, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	dir, err := os.MkdirTemp(b.dir, "postrider-bench-")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the peer works as another user
		return f, err
	}
	sink, err := startSink(ctx, j.sinkPlan())
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, sink.close()) }()
	server, err := s.start(ctx, dir, j, sink.port)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	if err := b.probe(ctx, s, j, server, sink); err != nil {
		return f, err
	}
	f, err = b.drive(ctx, s, j, server, sink)
	if err != nil && ctx.Err() != nil { // the cause, before what it led to
		err = errors.Join(ctx.Err(), err)
	}
	return f, err
}

func (b *bench) work(s system, j job, server instance) load.Work {
	return load.Work{
		Address: server.address(), Sessions: b.sessions, Messages: b.messages, Size: b.size,
		Domains: j.domainNames(), Sender: sender, Header: s.header(j),
	}
}

// probe sends one message and looks whether the system did its job.
func (b *bench) probe(ctx context.Context, s system, j job, server instance, sink *sink) error {
	work := b.work(s, j, server)
	work.Sessions, work.Messages, work.Domains = 1, 1, []string{probeDomain}
	if _, _, err := generate(ctx, work); err != nil {
		return err
	}
	message, err := sink.probe(probeTime)
	if err != nil {
		return err
	}
	if err := s.check(j, message); err != nil {
		return fmt.Errorf("%s, %v: the first message: %w", s.name(), j, err)
	}
	return server.settled(ctx)
}

// drive hands all messages in and reads the gauges before and after.
func (b *bench) drive(ctx context.Context, s system, j job, server instance, sink *sink) (figures, error) {
	before, err := readings(server, sink)
	if err != nil {
		return figures{}, err
	}
	watch := gauge.Watch(sampling, server.processes)
	span, generator, err := generate(ctx, b.work(s, j, server))
	var last time.Time
	if err == nil {
		last, err = sink.await(b.messages, remaining(ctx))
	}
	if err == nil {
		err = server.settled(ctx)
	}
	memory := watch.Stop()
	if err != nil {
		return figures{}, err
	}
	after, err := readings(server, sink)
	if err != nil {
		return figures{}, err
	}
	n := time.Duration(b.messages)
	return figures{
		acceptRate:  float64(b.messages) / span.Last.Sub(span.First).Seconds(),
		deliverRate: float64(b.messages) / last.Sub(span.First).Seconds(),
		cpu:         (after.server - before.server) / n,
		generator:   generator / n,
		sink:        (after.sink - before.sink) / n,
		memory:      memory,
	}, nil
}

func remaining(ctx context.Context) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return time.Hour
	}
	return time.Until(end)
}

// reading is processor time used so far.
type reading struct{ server, sink time.Duration }

func readings(server instance, sink *sink) (reading, error) {
	used, err := gauge.CPU(server.processes()...)
	sunk, sinkErr := gauge.CPU(sink.pid())
	return reading{used, sunk}, errors.Join(err, sinkErr)
}

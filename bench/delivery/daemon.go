package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postrider-mta/postrider/bench/gauge"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

const (
	stopTime = time.Minute
	// sampling is how often memory is looked at, watching for how long.
	sampling = 50 * time.Millisecond
	watching = 3 * time.Second
)

const configuration = `hostname = "mail.bench.example"
data_dir = "data"

[[listener]]
name = "bench"
address = %q
trusted_networks = ["127.0.0.0/8"]
any_from = true

[limits]
connections_per_ip = 100

[log]
level = "error"

[admin]
http = %q
`

// byRoute sends everything over one connection to one address.
const byRoute = `
[delivery]
connections_per_site = 1
messages_per_connection = 0
drain_timeout = "1s"

[[route]]
match = "*"
via = %q
`

// byName looks exchangers up.
const byName = `
[delivery]
resolvers = [%q]
port = %d
allow_loopback = true
drain_timeout = "1s"
`

// instance is one running daemon.
type instance struct {
	*harness.Daemon
	submission string
}

func (b *bench) serve(ctx context.Context, dir, delivery string) (*instance, error) {
	addresses, err := harness.FreeAddresses(2)
	if err != nil {
		return nil, err
	}
	d, err := harness.Serve(ctx, b.binary, dir, fmt.Sprintf(configuration, addresses[0], addresses[1])+delivery)
	if err != nil {
		return nil, err
	}
	return &instance{d, addresses[0]}, nil
}

func (i *instance) stop() error { return i.Stop(stopTime) }

func (i *instance) cpu() (time.Duration, error) { return gauge.CPU(i.PID()) }

// anonymous is the most memory of its own over a moment.
func (i *instance) anonymous(ctx context.Context) (int64, error) {
	watch := gauge.Watch(sampling, func() []int { return []int{i.PID()} })
	err := pause(ctx, watching)
	return watch.Stop().Anonymous, err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// internet is a daemon with a name server and one exchanger for all living
// domains.
type internet struct {
	*instance
	dns  *testmx.DNS
	sink *sink
}

// connect starts an internet with these living and dead domains: nobody
// listens where the dead ones lead.
func (b *bench) connect(ctx context.Context, living, dead []string) (_ *internet, err error) {
	n := &internet{}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if n.sink, err = startSink(testmx.Options{}); err != nil {
		return nil, err
	}
	if n.dns, err = testmx.StartDNS(); err != nil {
		return nil, err
	}
	nowhere := n.sink.addr.Addr().Next()
	if err = errors.Join(n.dns.Add(zone(living, n.sink.addr.Addr())...), n.dns.Add(zone(dead, nowhere)...)); err != nil {
		return nil, err
	}
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	n.instance, err = b.serve(ctx, dir, fmt.Sprintf(byName, n.dns.Addr(), n.sink.addr.Port()))
	return n, err
}

func (n *internet) close() error {
	var closers []func() error
	if n.sink != nil {
		closers = append(closers, n.sink.server.Close)
	}
	if n.dns != nil {
		closers = append(closers, n.dns.Close)
	}
	if n.instance != nil {
		closers = append(closers, n.stop)
	}
	return closeAll(closers...)
}

// perMessage sends messages and returns the daemon's processor time for each.
func (n *internet) perMessage(ctx context.Context, messages int, domains []string) (time.Duration, error) {
	before, err := n.cpu()
	if err != nil {
		return 0, err
	}
	goal := n.sink.count() + messages
	if err := submit(ctx, n.submission, messages, messageSize, domains); err != nil {
		return 0, err
	}
	if err := n.sink.await(ctx, goal, never); err != nil {
		return 0, err
	}
	used, err := n.cpu()
	return (used - before) / time.Duration(messages), err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/postrider-mta/postrider/bench/load"
	"github.com/postrider-mta/postrider/internal/testmx"
)

const (
	sender = "news@bench.example"
	// messageSize is that of all measurements but for the backlogs.
	messageSize = 10 << 10
	// look is how often a counter is read.
	look = 2 * time.Millisecond
)

// sink is a mail exchanger that counts what it takes.
type sink struct {
	server *testmx.Server
	addr   netip.AddrPort
}

func startSink(o testmx.Options) (*sink, error) {
	s := &sink{server: testmx.New(o)}
	var err error
	s.addr, err = s.server.Listen()
	return s, err
}

func (s *sink) count() int { return int(s.server.Counters().Messages) }

// await returns when the sink has so many messages, or enough returns true.
func (s *sink) await(ctx context.Context, messages int, enough func() bool) error {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for s.count() < messages && !enough() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

func never() bool { return false }

// after returns a condition that holds once d is over.
func after(d time.Duration) func() bool {
	end := time.Now().Add(d)
	return func() bool { return time.Now().After(end) }
}

// submit hands messages in, one reader each, to the domains in turn.
func submit(ctx context.Context, address string, messages, size int, domains []string) error {
	work := load.Work{Address: address, Sessions: 20, Messages: messages, Size: size, Domains: domains, Sender: sender}
	_, err := work.Generate(ctx)
	return err
}

// names makes domains that are told apart by a number.
func names(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%d.example", prefix, i)
	}
	return all
}

// zone gives each domain an exchanger of its own name, all at one address.
func zone(domains []string, address netip.Addr) []string {
	records := make([]string, 0, 2*len(domains))
	for _, d := range domains {
		records = append(records, fmt.Sprintf("%s. MX 10 mx.%s.", d, d), fmt.Sprintf("mx.%s. A %s", d, address))
	}
	return records
}

// reserve finds a port of an address that nobody listens on.
func reserve(address string) (netip.AddrPort, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return netip.AddrPort{}, err
	}
	return l.Addr().(*net.TCPAddr).AddrPort(), l.Close()
}

// closeAll closes in reverse order.
func closeAll(closers ...func() error) error {
	var errs []error
	for i := len(closers) - 1; i >= 0; i-- {
		errs = append(errs, closers[i]())
	}
	return errors.Join(errs...)
}

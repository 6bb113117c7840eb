package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
)

// Run takes mail until ctx ends, then prints a summary and returns nil. An
// error means that it could not begin, or that a listener failed.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	server, err := newServer(o)
	if err != nil {
		return err
	}
	listeners, err := listen(o.Listen)
	if err != nil {
		return err
	}
	stats, err := listenStats(o.StatsListen)
	if err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	return serve(ctx, o, server, listeners, stats)
}

// newServer does all that can fail before anything listens.
func newServer(o Options) (*testmx.Server, error) {
	behaviour, err := behaviourOf(o)
	if err != nil {
		return nil, err
	}
	onMessage, err := keeping(o)
	if err != nil {
		return nil, err
	}
	certificate, _, err := testmx.SelfSigned(o.Hostname)
	if err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	return testmx.New(testmx.Options{
		Hostname: o.Hostname, ImplicitTLS: o.ImplicitTLS, TLSConfig: certificate,
		MaxSize: o.MaxSize, Accounts: o.Accounts,
		Rules: behaviour.Rules, Without: behaviour.Without, Seed: o.Seed,
		OnMessage: onMessage,
	}), nil
}

func behaviourOf(o Options) (Behaviour, error) {
	behaviour, err := ParseRules(o.Rules)
	if err != nil || o.RulesFile == "" {
		return behaviour, err
	}
	text, err := os.ReadFile(o.RulesFile)
	if err != nil {
		return Behaviour{}, fmt.Errorf("rules: %w", err)
	}
	if _, err := ParseRules(strings.Split(string(text), "\n")); err != nil {
		return Behaviour{}, fmt.Errorf("%s: %w", o.RulesFile, err)
	}
	return ParseRules(append(o.Rules[:len(o.Rules):len(o.Rules)], strings.Split(string(text), "\n")...))
}

// keeping returns what is to be done with each message; nil for nothing.
func keeping(o Options) (func(*testmx.Message) error, error) {
	if o.Keep == "" {
		return o.OnMessage, nil
	}
	keeper, err := openKeeper(o.Keep)
	if err != nil {
		return nil, err
	}
	if o.OnMessage == nil {
		return keeper.keep, nil
	}
	return func(m *testmx.Message) error {
		if err := o.OnMessage(m); err != nil {
			return err
		}
		return keeper.keep(m)
	}, nil
}

func listen(addresses []string) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, errors.Join(err, closeAll(listeners))
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

func addrPort(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

// serve runs everything until ctx ends or a listener fails.
func serve(ctx context.Context, o Options, server *testmx.Server, listeners []net.Listener, stats net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	failures := make(chan error, len(listeners))
	at := Listening{}
	for _, l := range listeners {
		at.Mail = append(at.Mail, addrPort(l))
		fmt.Fprintf(o.Output, "sink: taking mail on %s\n", l.Addr())
		group.Go(func() {
			if err := server.Serve(l); err != nil {
				failures <- fmt.Errorf("listener %s: %w", l.Addr(), err)
				cancel()
			}
		})
	}
	if stats != nil {
		at.Stats = addrPort(stats)
		fmt.Fprintf(o.Output, "sink: counters at http://%s/counters\n", stats.Addr())
		group.Go(func() { serveStats(ctx, server, stats) })
	}
	if o.Ready != nil {
		o.Ready(at)
	}
	started := time.Now()
	report(ctx, o, server, started)
	errs := []error{server.Close()}
	group.Wait()
	close(failures)
	for err := range failures {
		errs = append(errs, err)
	}
	writeSummary(o.Output, server.Counters(), time.Since(started))
	return errors.Join(errs...)
}

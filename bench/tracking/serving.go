package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/bench/gauge"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/test/harness"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/token"
)

const (
	sampling = 20 * time.Millisecond
	stopTime = time.Minute
	// patience bounds the wait until all events are on disk.
	patience = 2 * time.Minute
)

const configuration = `hostname = "mail.bench.example"
data_dir = "data"

[[listener]]
name = "bench"
address = %q

[log]
level = "warn"

[tracking]
listen = %q
url = "http://%s"
# The limits are at work and out of reach.
exempt_networks = []
requests_per_second = 1000000
request_burst = 1000000

[admin]
http = %q
`

// serving is the daemon's tracker and the bare handler.
type serving struct {
	bench                      *bench
	tracker, bareAt, metricsAt string
	daemon                     *harness.Daemon
	bare                       *harness.Program
	clicks, plain              requests
}

// requests measures both in turns, and what the recorded clicks cost.
func (b *bench) requests(ctx context.Context, f *figures) (err error) {
	s, err := b.serve(ctx)
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, s.stop())
		}
	}()
	if err := s.warmUp(); err != nil {
		return err
	}
	idle := memoryOf(s.daemon.PID(), time.Second).Anonymous
	memory := gauge.Watch(sampling, func() []int { return []int{s.daemon.PID()} })
	for round := range b.rounds {
		fmt.Fprintf(os.Stderr, "bench-tracking: round %d of %d\n", round+1, b.rounds)
		if err := s.round(round, f); err != nil {
			memory.Stop()
			return err
		}
		if ctx.Err() != nil {
			memory.Stop()
			return ctx.Err()
		}
	}
	f.memory = memory.Stop().Anonymous - idle
	if err := s.recorded(ctx, f); err != nil {
		return err
	}
	stopped = true
	if err := s.stop(); err != nil {
		return err
	}
	after, err := folderSize(filepath.Join(b.dir, "data"))
	f.disk = after
	f.filesystem = gauge.Filesystem(b.dir)
	return err
}

func memoryOf(pid int, d time.Duration) gauge.Memory {
	watch := gauge.Watch(sampling, func() []int { return []int{pid} })
	time.Sleep(d)
	return watch.Stop()
}

// serve starts both and makes the links.
func (b *bench) serve(ctx context.Context) (*serving, error) {
	addresses, err := harness.FreeAddresses(4)
	if err != nil {
		return nil, err
	}
	s := &serving{bench: b, tracker: addresses[1], metricsAt: addresses[2], bareAt: addresses[3]}
	if s.daemon, err = harness.Serve(ctx, b.binary, b.dir, fmt.Sprintf(configuration, addresses[0], s.tracker, s.tracker, s.metricsAt)); err != nil {
		return nil, err
	}
	if s.bare, err = startBare(b.dir, s.bareAt); err != nil {
		return nil, errors.Join(err, s.daemon.Stop(stopTime))
	}
	paths, err := b.makeLinks("http://" + s.tracker)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.clicks, s.plain = newRequests(s.tracker, paths), newRequests(s.bareAt, paths)
	return s, nil
}

func (s *serving) stop() error {
	return errors.Join(s.daemon.Stop(stopTime), s.bare.Stop(stopTime))
}

// makeLinks makes links with the daemon's keys to as many readers.
func (b *bench) makeLinks(base string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(b.dir, "data", "tracking.keys"))
	if err != nil {
		return nil, err
	}
	keys, err := token.ParseKeyFile(text)
	if err != nil {
		return nil, err
	}
	links, err := tracking.NewLinks(base, keys)
	if err != nil {
		return nil, err
	}
	id := queue.NewID(time.Now())
	paths := make([]string, b.links)
	for i := range paths {
		link, err := links.ClickURL(id, uint32(i), fmt.Sprintf("https://shop.example/offers/%05d?ref=newsletter&campaign=autumn", i%100))
		if err != nil {
			return nil, err
		}
		u, err := url.Parse(link)
		if err != nil {
			return nil, err
		}
		paths[i] = u.Path
	}
	return paths, nil
}

// warmUp waits for the bare handler and lets both run for a moment.
func (s *serving) warmUp() error {
	var err error
	for range 100 {
		if _, err = s.plain.ask(s.bareAt, 1, 10*time.Millisecond); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	_, err = s.clicks.ask(s.tracker, s.bench.connections, time.Second/2)
	return err
}

// round lets both take a turn, in an order that changes from round to round.
func (s *serving) round(n int, f *figures) error {
	track := func() error { return s.turn(&f.tracker, s.clicks, s.tracker, s.daemon.PID()) }
	plain := func() error { return s.turn(&f.bare, s.plain, s.bareAt, s.bare.PID()) }
	if n%2 == 0 {
		return errors.Join(track(), plain())
	}
	return errors.Join(plain(), track())
}

func (s *serving) turn(all *[]measured, r requests, address string, pid int) error {
	before, err := gauge.CPU(pid)
	if err != nil {
		return err
	}
	t, err := r.ask(address, s.bench.connections, s.bench.each)
	if err != nil {
		return err
	}
	// What is done behind the answers is the server's cost too, and must not
	// fall into the other's turn.
	after, err := calm(pid)
	if err != nil {
		return err
	}
	*all = append(*all, measured{turn: t, cpu: after - before})
	return nil
}

// calm waits until a process is idle, and returns the processor time it has
// used.
func calm(pid int) (time.Duration, error) {
	const (
		pause = 300 * time.Millisecond
		idle  = 20 * time.Millisecond
		limit = 50
	)
	before, err := gauge.CPU(pid)
	for range limit {
		if err != nil {
			return 0, err
		}
		time.Sleep(pause)
		var now time.Duration
		if now, err = gauge.CPU(pid); now-before < idle {
			return now, err
		}
		before = now
	}
	return before, err
}

// recorded waits until every click is on disk, and asks how many were dropped.
func (s *serving) recorded(ctx context.Context, f *figures) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		values, err := metrics(ctx, s.metricsAt)
		if err != nil {
			return err
		}
		if values["postrider_tracking_events_waiting"] == 0 {
			f.events, f.dropped = values["postrider_tracking_events_recorded_total"], values["postrider_tracking_events_dropped_total"]
			return nil
		}
	}
	return errors.New("events still wait to be recorded")
}

// folderSize is what the files of a folder take on disk.
func folderSize(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || strings.HasSuffix(path, ".sock") {
			return err
		}
		n, err := allocated(path)
		sum += n
		return err
	})
	return sum, err
}

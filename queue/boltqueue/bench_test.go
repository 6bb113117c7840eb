package boltqueue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

const benchBody = 10 << 10

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writtenBytes is what the process has had written to disk.
func writtenBytes() int64 {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}

// measure runs b.N operations by a number of writers.
func measure(b *testing.B, writers int, operation func() error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	cpu, written := cpuTime(), writtenBytes()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := operation(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	n := float64(b.N)
	b.ReportMetric(float64(cpuTime()-cpu)/1e3/n, "cpu-µs/op")
	b.ReportMetric(float64(writtenBytes()-written)/n, "written-B/op")
	b.ReportMetric(n/b.Elapsed().Seconds(), "op/s")
	b.ReportMetric(0, "ns/op")
}

func benchStore(b *testing.B) *Store {
	s, err := Open(Options{Dir: b.TempDir(), RestartDelay: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// benchSubmissions makes messages to a thousand domains.
func benchSubmissions(b *testing.B) func() *queue.Submission {
	addresses := make([]mail.Address, 1000)
	for i := range addresses {
		a, err := mail.ParseAddress(fmt.Sprintf("reader@domain%d.example", i))
		if err != nil {
			b.Fatal(err)
		}
		addresses[i] = a
	}
	body := make([]byte, benchBody)
	var n atomic.Int64
	return func() *queue.Submission {
		now := time.Now()
		return &queue.Submission{
			Message: queue.Message{
				ID: queue.NewID(now), Envelope: mail.Envelope{From: addresses[0]}, Tenant: "acme", Stream: "marketing",
				Campaign: "spring", HeaderFrom: "acme.example", Accepted: now, Expires: now.Add(time.Hour), Size: benchBody,
			},
			Recipients: []mail.Recipient{{Address: addresses[n.Add(1)%1000]}},
			Body:       body,
		}
	}
}

func key(sub *queue.Submission) queue.Key {
	return queue.KeyOf(&sub.Message, &sub.Recipients[0])
}

// settleOne leases what waits longest in the submission's queue and ends it.
func settleOne(s *Store, k queue.Key) error {
	ctx := context.Background()
	deliveries, err := s.Next(ctx, k, 1)
	if err != nil {
		return err
	}
	if len(deliveries) == 0 {
		return errors.New("nothing is due")
	}
	e := deliveries[0].Event(event.Delivered, time.Now())
	e.Site, e.Source = "domain.example", "default"
	e.Reply = &mail.Reply{Code: 250, Enhanced: mail.EnhancedCode{Class: 2}, Text: "queued as 4WxYz"}
	return s.Settle(ctx, []queue.Outcome{{Recipient: deliveries[0].ID(), Event: e}})
}

// BenchmarkStore measures the store beside two baselines: "append" and "rows".
// A pair is the accept of a message and its settling, by the same writer.
func BenchmarkStore(b *testing.B) {
	for _, writers := range []int{1, 50, 500} {
		for _, c := range []struct {
			name string
			run  func(*testing.B, int)
		}{
			{"append", benchAppend},
			{"rows", benchRows},
			{"accept+settle", benchPairs},
			{"accept", benchAccept},
			{"settle", benchSettle},
			{"defer", benchDefer},
			{"mix", benchMix},
		} {
			b.Run(fmt.Sprintf("%s/writers=%d", c.name, writers), func(b *testing.B) { c.run(b, writers) })
		}
	}
}

func benchAccept(b *testing.B, writers int) {
	s, next := benchStore(b), benchSubmissions(b)
	measure(b, writers, func() error { return s.Accept(context.Background(), next()) })
}

func benchPairs(b *testing.B, writers int) {
	s, next := benchStore(b), benchSubmissions(b)
	measure(b, writers, func() error {
		sub := next()
		if err := s.Accept(context.Background(), sub); err != nil {
			return err
		}
		return settleOne(s, key(sub))
	})
	stats := s.Stats()
	b.ReportMetric(float64(stats.Records)/float64(stats.Syncs), "records/sync")
}

// benchWaiting accepts what the benchmark is to lease.
func benchWaiting(b *testing.B) (*Store, func() queue.Key) {
	s, next := benchStore(b), benchSubmissions(b)
	var group sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(b.N))
	keys := make(chan queue.Key, b.N)
	for range 50 {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				sub := next()
				sub.Body = sub.Body[:100]
				if err := s.Accept(context.Background(), sub); err != nil {
					b.Error(err)
				}
				keys <- key(sub)
			}
		})
	}
	group.Wait()
	return s, func() queue.Key { return <-keys }
}

func benchSettle(b *testing.B, writers int) {
	s, next := benchWaiting(b)
	measure(b, writers, func() error { return settleOne(s, next()) })
}

func benchDefer(b *testing.B, writers int) {
	s, next := benchWaiting(b)
	measure(b, writers, func() error { return deferOne(s, next()) })
}

// benchMix defers each tenth message, and settles the others.
func benchMix(b *testing.B, writers int) {
	s, next := benchStore(b), benchSubmissions(b)
	var n atomic.Int64
	measure(b, writers, func() error {
		sub := next()
		if err := s.Accept(context.Background(), sub); err != nil {
			return err
		}
		if n.Add(1)%10 == 0 {
			return deferOne(s, key(sub))
		}
		return settleOne(s, key(sub))
	})
}

// deferOne leases what waits longest in a queue and sends it back for an hour.
func deferOne(s *Store, k queue.Key) error {
	ctx := context.Background()
	deliveries, err := s.Next(ctx, k, 1)
	if err != nil {
		return err
	}
	if len(deliveries) == 0 {
		return errors.New("nothing is due")
	}
	e := deliveries[0].Event(event.Deferred, time.Now())
	e.Site, e.Source = "domain.example", "default"
	e.Reply = &mail.Reply{Code: 451, Enhanced: mail.EnhancedCode{Class: 4}, Text: "try again later"}
	return s.Defer(ctx, []queue.Deferral{{Recipient: deliveries[0].ID(), Until: time.Now().Add(time.Hour), Event: e}})
}

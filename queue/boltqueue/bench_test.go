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
	"github.com/postrider-mta/postrider/queue/journal"
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
	return queueKeyOf(&sub.Message, &sub.Recipients[0])
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

func BenchmarkStore(b *testing.B) {
	for _, writers := range []int{1, 50, 500} {
		b.Run(fmt.Sprintf("append/writers=%d", writers), func(b *testing.B) { benchAppend(b, writers) })
		b.Run(fmt.Sprintf("accept/writers=%d", writers), func(b *testing.B) {
			s, next := benchStore(b), benchSubmissions(b)
			measure(b, writers, func() error { return s.Accept(context.Background(), next()) })
		})
		b.Run(fmt.Sprintf("accept+settle/writers=%d", writers), func(b *testing.B) {
			s, next := benchStore(b), benchSubmissions(b)
			measure(b, writers, func() error {
				sub := next()
				if err := s.Accept(context.Background(), sub); err != nil {
					return err
				}
				return settleOne(s, key(sub))
			})
		})
	}
}

// benchAppend is the baseline: the body alone, with a shared sync.
func benchAppend(b *testing.B, writers int) {
	j, err := journal.Open(journal.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			b.Error(err)
		}
	}()
	body := make([]byte, benchBody)
	measure(b, writers, func() error { return j.Append(context.Background(), &journal.Write{Body: body}) })
}

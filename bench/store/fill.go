package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/postrider-mta/postrider/bench/gauge"
	"github.com/postrider-mta/postrider/event"
	eventlog "github.com/postrider-mta/postrider/event/log"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/boltqueue"
)

// fillCommand is the hidden argument that makes this program the filler: a
// process of its own, so that it can die, and leaves no memory behind.
const fillCommand = "fill"

// fillers accept at once.
const fillers = 16

// fillPlan says what to put into a store, and what to do with it then.
type fillPlan struct {
	Dir string
	// Recipients in messages of PerMessage each, spread over Queues.
	Recipients, PerMessage, Queues int
	// Body is the length of each message in octets.
	Body int
	// Kill ends the process without a word behind the last accept.
	Kill bool
	// Cancel takes all out again by a cancel of the campaign, Drain by
	// settling each. Compact settles most and lets queue.db be written anew while
	// mail comes in.
	Cancel, Drain, Compact bool
}

// fillResult says what was done.
type fillResult struct {
	// Accept, Cancel and Drain are how long each took; Events how long behind
	// the cancel the last event followed.
	Accept, Cancel, Events, Drain time.Duration
	// Segments and their octets, and those of queue.db, at the end.
	Journal, Database int64
	// Largest is the length that queue.db had before it shrank.
	Largest int64
	// Refused says why a message was not accepted at the end; empty if it was.
	Refused string
	// Anonymous is the most anonymous memory of the filling process, and Written
	// what it wrote for each recipient, in octets.
	Anonymous, Written int64
	Compaction         compaction
}

// fill lets a child process do it.
func fill(ctx context.Context, plan fillPlan) (fillResult, error) {
	var result fillResult
	self, err := os.Executable()
	if err != nil {
		return result, err
	}
	input, err := json.Marshal(plan)
	if err != nil {
		return result, err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, self, fillCommand)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if plan.Kill && errors.As(err, &exit) && !exit.Exited() {
		return result, nil
	}
	if err != nil {
		return result, fmt.Errorf("fill: %w", err)
	}
	return result, json.Unmarshal(out.Bytes(), &result)
}

// runFill is the child.
func runFill(ctx context.Context, in io.Reader, out io.Writer) error {
	var plan fillPlan
	if err := json.NewDecoder(in).Decode(&plan); err != nil {
		return err
	}
	days, err := eventlog.Open(eventlog.Options{Dir: filepath.Join(plan.Dir, "events")})
	if err != nil {
		return err
	}
	f := filler{plan: plan, log: &countingLog{Log: days}}
	if err := f.open(); err != nil {
		return errors.Join(err, days.Close())
	}
	self := os.Getpid()
	memory := gauge.Watch(sampling, func() []int { return []int{self} })
	err = f.run(ctx)
	f.result.Anonymous = memory.Stop().Anonymous
	err = errors.Join(err, f.store.Close(), days.Close())
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(f.result)
}

// filler fills one store.
type filler struct {
	plan   fillPlan
	store  *boltqueue.Store
	log    *countingLog
	result fillResult
	// owed is how many recipients a drain leaves.
	owed int64
	// drained: the store is the second one, which may compact.
	drained bool
}

// open opens the store. What is to be compacted at one moment is not before.
func (f *filler) open() (err error) {
	o := boltqueue.Options{Dir: f.plan.Dir, Events: f.log, RestartDelay: -1}
	if f.plan.Compact && !f.drained {
		o.CompactFreeShare = -1
	}
	f.store, err = boltqueue.Open(o)
	return err
}

func (f *filler) run(ctx context.Context) error {
	start, before := time.Now(), written()
	if err := f.accept(ctx); err != nil {
		return err
	}
	f.result.Accept = time.Since(start)
	f.result.Written = (written() - before) / int64(max(f.plan.Recipients, 1))
	if f.plan.Kill {
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	if f.plan.Cancel {
		if err := f.cancel(ctx); err != nil {
			return err
		}
	}
	if f.plan.Drain {
		if err := f.drain(ctx); err != nil {
			return err
		}
		return f.awaitDisk(ctx)
	}
	if f.plan.Compact {
		return f.compact(ctx)
	}
	return nil
}

// accept hands all messages in, some at once.
func (f *filler) accept(ctx context.Context) error {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, fillers)
	for range fillers {
		group.Go(func() {
			for ctx.Err() == nil {
				first := int(next.Add(int64(f.plan.PerMessage))) - f.plan.PerMessage
				if first >= f.plan.Recipients {
					return
				}
				if err := f.acceptOne(ctx, first); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	return errors.Join(<-errs, ctx.Err())
}

func (f *filler) acceptOne(ctx context.Context, first int) error {
	sub, err := submission(first, min(f.plan.PerMessage, f.plan.Recipients-first), f.plan.Queues, f.plan.Body)
	if err != nil {
		return err
	}
	if f.plan.Compact && first/f.plan.PerMessage%keptOf == 0 {
		sub.Message.NotBefore = sub.Message.Accepted.Add(24 * time.Hour)
	}
	return f.store.Accept(ctx, sub)
}

// submission makes a message whose recipients are spread over the queues.
func submission(first, recipients, queues, body int) (*queue.Submission, error) {
	now := time.Now()
	from, err := mail.ParseAddress("news@shop.example")
	if err != nil {
		return nil, err
	}
	sub := &queue.Submission{
		Message: queue.Message{
			ID: queue.NewID(now), Envelope: mail.Envelope{From: from}, Tenant: "main", Stream: "default",
			Campaign: campaign, HeaderFrom: "shop.example", Accepted: now, Expires: now.Add(5 * 24 * time.Hour), Size: int64(body),
		},
		Body: letter(body),
	}
	for i := first; i < first+recipients; i++ {
		address, err := mail.ParseAddress(fmt.Sprintf("reader%d@%s", i, domain(i, queues)))
		if err != nil {
			return nil, err
		}
		sub.Recipients = append(sub.Recipients, mail.Recipient{Address: address})
	}
	return sub, nil
}

const campaign = "spring"

// domain scatters the readers: neighbours in a list rarely share a domain.
func domain(reader, queues int) string {
	return fmt.Sprintf("domain%d.example", reader*7919%queues)
}

func letter(size int) []byte {
	b := []byte("From: news@shop.example\r\nTo: readers:;\r\nSubject: News\r\nDate: Mon, 6 Jul 2026 10:00:00 +0000\r\n" +
		"Message-ID: <1@shop.example>\r\n\r\n")
	for len(b) < size {
		b = append(b, "All the news that fits into a line of some length.\r\n"...)
	}
	return b
}

// cancel takes the campaign out and waits for the last event.
func (f *filler) cancel(ctx context.Context) error {
	start := time.Now()
	n, err := f.store.Cancel(ctx, queue.Selector{Campaign: campaign}, "cancelled")
	if err != nil {
		return err
	}
	if n != f.plan.Recipients {
		return fmt.Errorf("cancelled %d of %d", n, f.plan.Recipients)
	}
	f.result.Cancel = time.Since(start)
	if err := f.awaitEvents(ctx); err != nil {
		return err
	}
	f.result.Events = time.Since(start) - f.result.Cancel
	return nil
}

// awaitEvents waits until the event of each cancelled recipient is in the log.
func (f *filler) awaitEvents(ctx context.Context) error {
	for f.log.dropped.Load() < int64(f.plan.Recipients) {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// countingLog counts what a cancel has caused.
type countingLog struct {
	*eventlog.Log
	dropped atomic.Int64
}

// Append implements boltqueue.EventLog.
func (l *countingLog) Append(ctx context.Context, records []event.Record) error {
	if err := l.Log.Append(ctx, records); err != nil {
		return err
	}
	for i := range records {
		if records[i].Event.Type == event.Dropped {
			l.dropped.Add(1)
		}
	}
	return nil
}

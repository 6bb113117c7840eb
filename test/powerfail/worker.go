package powerfail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/event"
	eventlog "github.com/postrider-mta/postrider/event/log"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/boltqueue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// Flaw makes the worker or its disk break a promise, to see whether the checks
// find out.
type Flaw string

const (
	// Flawless keeps all promises.
	Flawless Flaw = ""
	// NoSync forgets to sync files.
	NoSync Flaw = "no-sync"
	// NoDirectorySync forgets to sync directories.
	NoDirectorySync Flaw = "no-directory-sync"
	// Early answers before the store has.
	Early Flaw = "early"
	// EventsElsewhere tells the store that events are kept before they are.
	EventsElsewhere Flaw = "events-elsewhere"
)

// Work is what a worker does to a store.
type Work struct {
	// Folder is the store's; it exists.
	Folder string
	// Sessions is how often the store is opened and closed, Messages how many
	// are accepted each time.
	Sessions, Messages int
	// FirstNumber is above the numbers of earlier words.
	FirstNumber int
	Seed        uint64
	Flaw        Flaw
}

// The shape of the work.
const (
	submitters = 4
	deliverers = 3
	leaseLimit = 6
	// grace is how long deliverers go on when all is accepted.
	grace = 60 * time.Millisecond
)

// Do works, and announces to words what it does. Any error ends it: nothing
// fails on a sound disk.
func (w Work) Do(ctx context.Context, words io.Writer) error {
	h := &herald{to: words, early: w.Flaw == Early}
	h.number.Store(int64(w.FirstNumber))
	for n := range w.Sessions {
		s := session{work: w, herald: h, age: time.Duration(w.Sessions-1-n) * 24 * time.Hour}
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("session %d: %w", n, err)
		}
	}
	return nil
}

// storeOptions make everything happen often.
func storeOptions(folder string, events boltqueue.EventLog) boltqueue.Options {
	return boltqueue.Options{
		Dir: folder, Events: events, SegmentBytes: 32 << 10,
		CheckpointBytes: 48 << 10, CheckpointChanges: 60, CheckpointPages: 16, CheckpointInterval: 15 * time.Millisecond,
		MinFree: -1, RestartDelay: -1, HeadLength: 8, HeadTotal: 40,
		EventDelay: 2 * time.Millisecond, EventBatch: 12, SparseShare: 0.5, RetryPause: -1,
		CompactFreeShare: 0.001, CompactMinBytes: 12 << 10, // the file begins with 16 MiB
	}
}

func eventFolder(folder string) string { return filepath.Join(folder, "events") }

// session is one opening of the store. Its mail and events are of age, so that
// sessions have days of their own.
type session struct {
	work   Work
	herald *herald
	age    time.Duration
	store  *boltqueue.Store

	mu sync.Mutex
	// parked are messages that nobody delivers, to be cancelled or held.
	parked []queue.ID
	// seen are accepted events, to be followed by opens.
	seen []event.Event
	errs []error
}

func (s *session) run(ctx context.Context) (err error) {
	events, err := eventlog.Open(eventlog.Options{Dir: eventFolder(s.work.Folder)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	o := storeOptions(s.work.Folder, events)
	switch s.work.Flaw {
	case NoSync, NoDirectorySync:
		o.Files = careless{FileSystem: journal.OS{}, flaw: s.work.Flaw}
	case EventsElsewhere:
		o.Events = &forgetful{Log: events}
	}
	o.Logger = slog.New(slog.DiscardHandler)
	if s.store, err = boltqueue.Open(o); err != nil {
		return err
	}
	s.loaded(ctx)
	return errors.Join(append(s.errs, s.store.Close())...)
}

// loaded runs everybody beside each other until all is accepted.
func (s *session) loaded(ctx context.Context) {
	delivering, stop := context.WithCancel(ctx)
	defer stop()
	var busy, idle sync.WaitGroup
	for n := range deliverers {
		idle.Go(func() { s.fail(s.deliver(delivering, s.random(100+n))) })
	}
	for n := range submitters {
		busy.Go(func() { s.fail(s.submit(ctx, s.random(n))) })
	}
	busy.Wait()
	pause(ctx, grace)
	stop()
	idle.Wait()
}

func (s *session) random(n int) *rand.Rand {
	return rand.New(rand.NewPCG(s.work.Seed+uint64(s.age), uint64(n)))
}

func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *session) submit(ctx context.Context, r *rand.Rand) error {
	for range s.work.Messages / submitters {
		sub, err := s.submission(r)
		if err != nil {
			return err
		}
		w := word{Kind: wordAccept, Message: &sub.Message, Recipients: sub.Recipients}
		if err := s.herald.call(w, func() error { return s.store.Accept(ctx, sub) }); err != nil {
			return err
		}
		if err := s.after(ctx, r, sub); err != nil {
			return err
		}
	}
	return nil
}

// submission makes one of many small messages and few large ones. Some wait
// for long, so that old segments keep survivors, and some expire at once.
func (s *session) submission(r *rand.Rand) (*queue.Submission, error) {
	now := timeIn(s.age)
	m := queue.Message{
		ID: queue.NewID(now), Tenant: []string{"shop", "bank"}[r.IntN(2)], Stream: "marketing",
		Campaign: "spring", Tags: []string{"a"}, Metadata: json.RawMessage(`{"order":7}`),
		HeaderFrom: "shop.example", Accepted: now, Expires: timeIn(-100 * 24 * time.Hour),
		Size: 300 + r.Int64N(3000),
	}
	switch r.IntN(10) {
	case 0:
		m.Size = 10_000 + r.Int64N(40_000)
	case 1, 2:
		m.NotBefore = timeIn(-50 * 24 * time.Hour)
	case 3:
		m.Expires = timeIn(-time.Duration(r.IntN(40)) * time.Millisecond)
	}
	sub := &queue.Submission{Message: m, Body: body(m.ID, m.Size)}
	for n := range 1 + r.IntN(4) {
		text := fmt.Sprintf("reader%d@site%d.example", n, r.IntN(5))
		if !m.NotBefore.IsZero() {
			text = fmt.Sprintf("reader%d@parked.example", n)
		}
		a, err := mail.ParseAddress(text)
		if err != nil {
			return nil, err
		}
		sub.Recipients = append(sub.Recipients, mail.Recipient{Address: a})
	}
	return sub, nil
}

// after takes note of what was accepted, and does to earlier messages what
// operators and readers do.
func (s *session) after(ctx context.Context, r *rand.Rand, sub *queue.Submission) error {
	s.mu.Lock()
	s.seen = append(s.seen, queue.AcceptedEvent(&sub.Message, 0, sub.Recipients[0].Address))
	opened := s.seen[r.IntN(len(s.seen))]
	if !sub.Message.NotBefore.IsZero() {
		s.parked = append(s.parked, sub.Message.ID)
	}
	var target queue.ID
	if len(s.parked) > 3 {
		target = s.parked[2]
		s.parked = slices.Delete(s.parked, 2, 3)
	}
	s.mu.Unlock()
	if !target.IsZero() {
		if err := s.control(ctx, r, target); err != nil {
			return err
		}
	}
	switch r.IntN(8) {
	case 0:
		return s.retry(ctx, r)
	case 1, 2:
	default:
		return nil
	}
	opened.ID = fmt.Sprintf("open-%d-%d", s.age/time.Hour, r.Uint64())
	opened.Type, opened.Time = event.Opened, timeIn(s.age)
	events := []event.Event{opened}
	return s.herald.call(word{Kind: wordRecord, Events: events}, func() error { return s.store.Record(ctx, events) })
}

// control cancels a message, or holds it and perhaps lets it go again.
func (s *session) control(ctx context.Context, r *rand.Rand, target queue.ID) error {
	chosen := selector{Message: target}
	if r.IntN(2) == 0 {
		w := word{Kind: wordCancel, Selector: chosen, Reason: "withdrawn"}
		return s.herald.call(w, func() error {
			_, err := s.store.Cancel(ctx, queue.Selector(chosen), w.Reason)
			return err
		})
	}
	h := queue.Hold{ID: queue.NewID(timeIn(0)), Selector: queue.Selector(chosen), Reason: "looked into", Since: timeIn(0)}
	w := word{Kind: wordHold, Selector: chosen, Hold: h.ID, Reason: h.Reason}
	if err := s.herald.call(w, func() error { return s.store.Hold(ctx, h) }); err != nil || r.IntN(2) == 0 {
		return err
	}
	return s.herald.call(word{Kind: wordFree, Hold: h.ID}, func() error {
		_, err := s.store.Release(ctx, h.ID)
		return err
	})
}

// retry has a site's deferred recipients be tried at once.
func (s *session) retry(ctx context.Context, r *rand.Rand) error {
	chosen := selector{Domain: mail.Domain(fmt.Sprintf("site%d.example", r.IntN(5)))}
	return s.herald.call(word{Kind: wordRetry, Selector: chosen}, func() error {
		_, err := s.store.Retry(ctx, queue.Selector(chosen))
		return err
	})
}

func (s *session) deliver(ctx context.Context, r *rand.Rand) error {
	for {
		keys, err := s.store.Ready(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		for _, key := range keys {
			if err := s.drain(ctx, r, key); err != nil {
				return err
			}
		}
	}
}

func (s *session) drain(ctx context.Context, r *rand.Rand, key queue.Key) error {
	for ctx.Err() == nil {
		leased, err := s.store.Next(context.WithoutCancel(ctx), key, leaseLimit)
		if err != nil {
			return err
		}
		if err := s.attempt(context.WithoutCancel(ctx), r, leased); err != nil {
			return err
		}
		if len(leased) < leaseLimit {
			return nil
		}
	}
	return nil
}

// attempt ends most of what was leased, for one reason or another, defers some,
// and gives some back.
func (s *session) attempt(ctx context.Context, r *rand.Rand, leased []*queue.Delivery) error {
	var outcomes []queue.Outcome
	var deferrals []queue.Deferral
	settle, postpone := word{Kind: wordSettle}, word{Kind: wordDefer}
	for _, d := range leased {
		b, err := s.store.Body(ctx, d.Message)
		if err != nil || !bytes.Equal(b, body(d.Message.ID, d.Message.Size)) {
			return fmt.Errorf("body of %s is not whole: %w", d.ID(), err)
		}
		switch n := r.IntN(10); {
		case d.Message.Expired(time.Now()):
			e := d.Event(event.Expired, timeIn(s.age))
			outcomes = append(outcomes, queue.Outcome{Recipient: d.ID(), Event: e})
			settle.Events = append(settle.Events, e)
		case n == 0:
			s.store.Return([]*queue.Delivery{d})
		case n <= 2:
			e := d.Event(event.Deferred, timeIn(s.age))
			e.NextAttempt, e.Reason = timeIn(-time.Duration(r.IntN(60))*time.Millisecond), "busy"
			deferrals = append(deferrals, queue.Deferral{Recipient: d.ID(), Until: e.NextAttempt, Event: e})
			postpone.Events = append(postpone.Events, e)
		default:
			e := d.Event([]event.Type{event.Delivered, event.Delivered, event.Bounced}[r.IntN(3)], timeIn(s.age))
			e.Reply = &mail.Reply{Code: 250, Text: "taken"}
			outcomes = append(outcomes, queue.Outcome{Recipient: d.ID(), Event: e})
			settle.Events = append(settle.Events, e)
		}
	}
	var errs []error
	if len(outcomes) > 0 {
		errs = append(errs, s.herald.call(settle, func() error { return s.store.Settle(ctx, outcomes) }))
	}
	if len(deferrals) > 0 {
		errs = append(errs, s.herald.call(postpone, func() error { return s.store.Defer(ctx, deferrals) }))
	}
	return errors.Join(errs...)
}

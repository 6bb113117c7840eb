package powerfail

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/postrider-mta/postrider/event"
	eventlog "github.com/postrider-mta/postrider/event/log"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/boltqueue"
)

// afterwards is the source in events of the recipients that are delivered when
// a store was looked at.
const afterwards = "afterwards"

// sweeping is how long what a cancel chose may take to go.
const sweeping = 10 * time.Second

// opened is a store that the power failed.
type opened struct {
	events *eventlog.Log
	store  *boltqueue.Store
	// ledger knows what the bodies were.
	ledger *ledger
}

func (l *ledger) openStore(folder string) (*opened, error) {
	events, err := eventlog.Open(eventlog.Options{Dir: eventFolder(folder)})
	if err != nil {
		return nil, err
	}
	o := storeOptions(folder, events)
	o.CheckpointInterval = time.Minute // what looks on need not write
	store, err := boltqueue.Open(o)
	if err != nil {
		return nil, errors.Join(err, events.Close())
	}
	return &opened{events: events, store: store, ledger: l}, nil
}

// watch opens the store in a folder, reads all that it owes, delivers that,
// closes the store and reads the events. With again it opens the store once
// more, which then must owe nothing.
func (l *ledger) watch(folder string, at int, again bool) (seen *observation, damaged int64, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	seen = &observation{bodies: map[queue.ID]error{}}
	if err := errors.Join(l.observeResidue(folder, at, seen), l.observeBarriers(folder, seen)); err != nil {
		return nil, 0, err
	}
	o, err := l.openStore(folder)
	if err != nil {
		return nil, 0, err
	}
	err = o.look(seen)
	damaged = o.store.Stats().Damaged
	err = errors.Join(err, o.store.Close(), o.readEvents(seen))
	damaged += o.events.Stats().DamagedFiles + o.events.Stats().DamagedRecords
	err = errors.Join(err, o.events.Close())
	if err == nil && again {
		err = l.nothingOwed(folder)
	}
	return seen, damaged, err
}

// look reads everything owed, its bodies too, and then delivers it.
func (o *opened) look(seen *observation) error {
	ctx := context.Background()
	if err := o.store.Check(); err != nil {
		return fmt.Errorf("store is at odds with itself: %w", err)
	}
	for after := ""; ; {
		entries, next, err := o.store.List(ctx, queue.Selector{}, after, 200)
		if err != nil {
			return err
		}
		seen.entries = append(seen.entries, entries...)
		if after = next; next == "" {
			break
		}
	}
	o.readBodies(ctx, seen)
	var err error
	if seen.holds, err = o.store.Holds(ctx); err != nil {
		return err
	}
	for _, h := range seen.holds {
		if _, err := o.store.Release(ctx, h.ID); err != nil {
			return err
		}
	}
	return o.deliver(ctx, seen)
}

func (o *opened) readBodies(ctx context.Context, seen *observation) {
	done := map[queue.ID]bool{}
	for _, e := range seen.entries {
		m := e.Message
		if done[m.ID] {
			continue
		}
		done[m.ID] = true
		b, err := o.store.Body(ctx, m)
		if errors.Is(err, queue.ErrNotFound) && o.ended(ctx, m.ID) {
			continue // a cancel from before the failure ended it since it was listed
		}
		if err != nil {
			seen.bodies[m.ID] = err
		} else if known := o.ledger.messages[m.ID]; known != nil && !known.intact(b, m.Size) {
			seen.changed = append(seen.changed, m.ID)
		}
	}
}

// ended reports whether a message is owed to nobody any more.
func (o *opened) ended(ctx context.Context, id queue.ID) bool {
	left, _, err := o.store.List(ctx, queue.Selector{Message: id}, "", 1)
	return err == nil && len(left) == 0
}

// deliver proves that all that is owed can be leased and settled. What cannot
// be leased must be going by itself, since a cancel chose it before the failure:
// it is then not owed.
func (o *opened) deliver(ctx context.Context, seen *observation) error {
	if _, err := o.store.Retry(ctx, queue.Selector{}); err != nil {
		return err
	}
	queues, err := o.store.Queues(ctx)
	if err != nil {
		return err
	}
	leases := map[queue.RecipientID]bool{}
	var outcomes []queue.Outcome
	for _, q := range queues {
		leased, err := o.store.Next(ctx, q.Key, len(seen.entries)+1)
		if err != nil {
			return err
		}
		for _, d := range leased {
			e := d.Event(event.Delivered, timeIn(0))
			e.Source, e.Reply = afterwards, &mail.Reply{Code: 250}
			outcomes = append(outcomes, queue.Outcome{Recipient: d.ID(), Event: e})
			leases[d.ID()] = true
		}
	}
	if err := o.store.Settle(ctx, outcomes); err != nil {
		return err
	}
	if err := o.emptied(); err != nil {
		return fmt.Errorf("%d recipients are owed and %d can be leased: %w", len(seen.entries), len(outcomes), err)
	}
	seen.entries = slices.DeleteFunc(seen.entries, func(e queue.Entry) bool {
		return !leases[queue.RecipientID{Message: e.Message.ID, Index: e.Index}]
	})
	seen.forgetGone()
	if len(outcomes) != len(seen.entries) {
		return fmt.Errorf("%d recipients can be leased and only %d are listed", len(outcomes), len(seen.entries))
	}
	return o.store.Check()
}

// forgetGone forgets the bodies of messages that went while they were looked at.
func (seen *observation) forgetGone() {
	owed := map[queue.ID]bool{}
	for _, e := range seen.entries {
		owed[e.Message.ID] = true
	}
	for id, err := range seen.bodies {
		if !owed[id] && errors.Is(err, queue.ErrNotFound) {
			delete(seen.bodies, id)
		}
	}
}

// emptied waits until nothing is owed.
func (o *opened) emptied() error {
	for deadline := time.Now().Add(sweeping); ; time.Sleep(time.Millisecond) {
		n := o.store.Stats().Recipients
		if n == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d are still owed when all of those have ended", n)
		}
	}
}

// readEvents reads the log of a closed store: it has been given everything.
func (o *opened) readEvents(seen *observation) error {
	delivered := 0
	for after := uint64(0); ; {
		records, err := o.events.Read(context.Background(), after, 1000)
		if err != nil || len(records) == 0 {
			if err == nil && delivered != len(seen.entries) {
				err = fmt.Errorf("%d recipients were delivered afterwards, of which %d have an event", len(seen.entries), delivered)
			}
			return err
		}
		for _, r := range records {
			after = r.Position
			if r.Event.Source == afterwards {
				delivered++
				continue
			}
			seen.events = append(seen.events, r)
		}
	}
}

func (l *ledger) nothingOwed(folder string) error {
	o, err := l.openStore(folder)
	if err != nil {
		return fmt.Errorf("second opening: %w", err)
	}
	stats := o.store.Stats()
	if stats.Recipients != 0 || stats.Damaged != 0 {
		err = fmt.Errorf("second opening: %d recipients owed, %d damaged", stats.Recipients, stats.Damaged)
	}
	return errors.Join(err, o.store.Check(), o.store.Close(), o.events.Close())
}

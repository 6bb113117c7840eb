package boltqueue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// The names of a queue.db in the making, and of one that was replaced.
const (
	rebuiltName = databaseName + ".rebuilt"
	keptName    = databaseName + ".damaged"
)

// Rebuilt says what Rebuild found.
type Rebuilt struct {
	// Kept is the path that the queue.db before has now; empty if there was
	// none.
	Kept string
	// Segments and Records of the journal that were read.
	Segments int
	Records  int64
	// Damaged counts the stretches of the journal that cannot be read; they are
	// set aside. Not understood are records of another version.
	Damaged, NotUnderstood int64
	// Messages and Recipients owed now.
	Messages, Recipients int64
	// Ended counts the recipients that only the events knew to have ended.
	Ended int64
	// Holds in force. RulesKnown: the old queue.db told which holds and cancels
	// there were; otherwise those whose segment is gone are lost, and some that
	// had ended may be back.
	Holds      int
	RulesKnown bool
}

// Past calls each for the events of the past, in any order, until one fails.
type Past func(each func(event.Event) error) error

// Rebuild makes a queue.db from the segments of the journal, puts it in the
// place of the one there was, and keeps that under another name. Nobody else may
// have the data folder in use.
//
// A segment goes once nothing in it is owed, so all that is owed is found, each
// message with its body. That a recipient ended may have stood in a segment that
// is gone; past, which may be nil, tells of that. Recipients of whose end
// neither knows are owed again: they get their mail twice rather than not at
// all. So do those whose deferral is forgotten lose their attempts, not their
// expiry.
func Rebuild(ctx context.Context, o Options, past Past) (Rebuilt, error) {
	s := &Store{options: o.withDefaults(), memory: newMemory(), stop: make(chan struct{})}
	s.room = sync.NewCond(&s.mu)
	s.checkpoints.init()
	s.rebuilding = &rebuilding{outcomes: map[recipientKey]lateOutcome{}, queues: map[uint64]uint64{}}
	err := s.rebuild(ctx, past)
	if err = errors.Join(err, s.abandon()); err == nil {
		err = s.exchange()
	}
	if err != nil {
		return Rebuilt{}, errors.Join(fmt.Errorf("rebuild %s: %w", s.databasePath(), err), removeLeftover(s.rebuiltPath()))
	}
	return s.rebuilding.report, nil
}

// rebuilding is the state of a Rebuild.
type rebuilding struct {
	report Rebuilt
	// rulesAsOf is the position up to which holds and cancels are known.
	rulesAsOf journal.Position
	// outcomes are those of recipients whose accept has gone, and may come as
	// the copy that was made of it.
	outcomes map[recipientKey]lateOutcome
	// queues are the numbers now of those that the journal knows.
	queues map[uint64]uint64
}

// lateOutcome is the last outcome of a recipient that is not known yet.
type lateOutcome struct {
	gone     bool
	attempts uint32
	due      int64
}

func (s *Store) rebuiltPath() string { return filepath.Join(s.options.Dir, rebuiltName) }

func (s *Store) rebuild(ctx context.Context, past Past) error {
	old, err := s.readOld()
	if err != nil {
		return err
	}
	if err := removeLeftover(s.rebuiltPath()); err != nil {
		return err
	}
	if err := newDatabase(s.rebuiltPath()); err != nil {
		return err
	}
	if s.db, err = boltguard.Open(s.rebuiltPath(), databaseOptions()); err != nil {
		return err
	}
	if err := s.createBuckets(); err != nil {
		return err
	}
	after, err := s.eventPosition()
	if err != nil {
		return err
	}
	s.journal, err = journal.Open(journal.Options{
		Dir:          filepath.Join(s.options.Dir, journalDir),
		SegmentBytes: s.options.SegmentBytes, RetryPause: s.options.RetryPause,
		Salt: old.salt, Scanned: after, After: max(old.position, after),
		Committed: func([]*journal.Write) {}, Files: s.options.Files, Logger: s.options.Logger,
	})
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if err := s.replayAll(ctx); err != nil {
		return fmt.Errorf("replay journal: %w", err)
	}
	if err := s.endPast(ctx, past); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	r := &s.rebuilding.report
	r.Messages, r.Recipients, r.Holds = s.owedMessages, s.recipients, len(s.holds.all)
	return s.checkpoint(false)
}

// readOld reads of the queue.db there is what the journal may not tell any more.
// That it cannot be read is why there is a rebuild; that another process holds
// it is a reason not to begin.
func (s *Store) readOld() (saved, error) {
	var old saved
	db, err := boltguard.Open(s.databasePath(), &bolt.Options{ReadOnly: true, Timeout: lockTimeout})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return old, fmt.Errorf("it is in use by another process: %w", err)
	case err != nil:
		return old, nil
	}
	scratch := &Store{options: s.options, memory: newMemory()}
	err = db.View(func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte(bucketMeta))
		old.position = journal.Position(getNumber(meta, metaPosition))
		old.salt = uint32(getNumber(meta, metaSalt))
		if err := tx.Bucket([]byte(bucketHolds)).ForEach(scratch.loadHold); err != nil {
			return err
		}
		return tx.Bucket([]byte(bucketCancels)).ForEach(scratch.loadCancel)
	})
	if err == nil {
		s.holds, s.cancels = scratch.holds, scratch.cancels
		s.rebuilding.rulesAsOf, s.rebuilding.report.RulesKnown = old.position, true
	}
	return old, db.Close()
}

// replayAll applies all segments that there are.
func (s *Store) replayAll(ctx context.Context) error {
	r := &s.rebuilding.report
	r.Segments = len(s.journal.Segments())
	found, err := s.journal.Replay(0, func(record journal.Record) error {
		if err := s.rebuildRecord(record); err != nil {
			r.NotUnderstood++
			s.options.Logger.Error("store: journal record not understood", "position", record.Position, "error", err)
		}
		s.applied = record.End
		return s.roomToRebuild(ctx)
	})
	r.Records, r.Damaged = found.Records, found.Damaged
	s.applied = max(s.applied, s.rebuilding.rulesAsOf)
	return err
}

func (s *Store) rebuildRecord(r journal.Record) error {
	switch r.Kind {
	case kindHold, kindRelease, kindCancel, kindCancelled:
		if r.Position < s.rebuilding.rulesAsOf {
			return nil
		}
	}
	return s.replayRecord(r)
}

// roomToRebuild writes a checkpoint once much is in memory.
func (s *Store) roomToRebuild(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(s.dirtyEntries.things) < replayedChanges*s.options.CheckpointChanges {
		return nil
	}
	return s.checkpoint(false)
}

// late keeps an outcome whose recipient is not known, or has ended.
func (r *rebuilding) late(c *change) {
	r.outcomes[c.recipient] = lateOutcome{gone: c.gone, attempts: c.attempts, due: c.due}
}

// joinQueues gives the recipients the numbers of queues now: one that was empty
// in between has had several.
func (s *Store) joinQueues(a *acceptance) {
	for i, id := range a.queues {
		q := s.queueFor(queue.KeyOf(a.message, &a.recipients[i]))
		s.rebuilding.queues[id], a.queues[i] = q.id, q.id
	}
}

// acceptCopy takes the copy of an accept that has gone for the accept.
func (s *Store) acceptCopy(r journal.Record, a *acceptance) {
	s.joinQueues(a)
	s.accept(newMessage(a, r.Position, r.End), a, nil)
	for i := range a.recipients {
		key := recipientKey{a.message.ID, uint32(i)}
		outcome, ok := s.rebuilding.outcomes[key]
		switch e := s.entries[key]; {
		case !ok || e == nil:
		case outcome.gone:
			s.end(e)
		default:
			s.postpone(e, &change{due: outcome.due, attempts: outcome.attempts})
		}
	}
}

// endPast ends the recipients that the events say have ended.
func (s *Store) endPast(ctx context.Context, past Past) error {
	if past == nil {
		return nil
	}
	return past(func(e event.Event) error {
		switch e.Type {
		case event.Delivered, event.Bounced, event.Expired, event.Dropped:
		default:
			return ctx.Err()
		}
		id, err := queue.ParseID(e.Message)
		if err != nil {
			return nil // an event without a message
		}
		if err := s.endKnown(recipientKey{id, uint32(e.Index)}); err != nil {
			return err
		}
		return s.roomToRebuild(ctx)
	})
}

func (s *Store) endKnown(key recipientKey) error {
	msg, err := s.loadMessage(key.message)
	if err != nil || msg == nil {
		return err
	}
	msg.users++
	defer func() {
		msg.users--
		s.forgetMessage(msg)
	}()
	for _, id := range msg.queues.numbers() {
		e, err := s.loadEntry(id, key)
		if err != nil {
			return err
		}
		if e == nil || e.state == gone {
			continue
		}
		s.end(e)
		s.rebuilding.report.Ended++
		return nil
	}
	return nil
}

// exchange gives the old file another name and the new one its own. Should the
// power fail in between there is none, and whoever opens the store is told.
func (s *Store) exchange() error {
	if _, err := os.Lstat(s.databasePath()); err == nil {
		kept, err := s.freeName()
		if err != nil {
			return err
		}
		if err := os.Rename(s.databasePath(), kept); err != nil {
			return err
		}
		s.rebuilding.report.Kept = kept
	}
	if err := os.Rename(s.rebuiltPath(), s.databasePath()); err != nil {
		return err
	}
	return s.options.Files.SyncDir(s.options.Dir)
}

// freeName returns a path for the file to be kept.
func (s *Store) freeName() (string, error) {
	first := filepath.Join(s.options.Dir, keptName)
	for n, path := 2, first; ; n, path = n+1, fmt.Sprintf("%s.%d", first, n) {
		_, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
	}
}

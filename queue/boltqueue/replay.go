package boltqueue

import (
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// replayedChanges, in checkpoints' worth, are kept in memory at a start: more
// than a crash leaves behind as a rule, so that the first delivery does not wait
// for a checkpoint on a cold disk.
const replayedChanges = 4

// replay applies what the journal holds beyond the last checkpoint.
func (s *Store) replay() error {
	doubtful, lost := s.checkpoints.unfinished != (unfinished{}), false
	report, err := s.journal.Replay(s.applied, func(r journal.Record) error {
		if err := s.replayRecord(r); err != nil {
			lost = true
			s.damaged.Add(1)
			s.options.Logger.Error("store: journal record not understood", "position", r.Position, "error", err)
		}
		s.applied = r.End
		if len(s.dirtyEntries.things) >= replayedChanges*s.options.CheckpointChanges &&
			s.applied >= s.checkpoints.unfinished.until {
			return s.checkpoint(false)
		}
		return nil
	})
	if err != nil {
		return err
	}
	lost = lost || report.Damaged > 0 || len(report.Missing) > 0 || s.applied < s.checkpoints.unfinished.until
	s.applied = max(s.applied, s.checkpoints.unfinished.until)
	if doubtful && lost {
		if err := s.mend(); err != nil {
			return err
		}
	}
	s.damaged.Add(int64(len(report.Missing)))
	s.options.Logger.Info("store: journal replayed", "records", report.Records, "torn", report.Torn,
		"damaged", report.Damaged, "missing", len(report.Missing))
	return nil
}

func (s *Store) replayRecord(r journal.Record) error {
	switch r.Kind {
	case kindAccept:
		return s.replayAccept(r)
	case kindCopy:
		return s.replayCopy(r)
	case kindOutcome:
		return s.replayOutcome(r)
	case kindHold, kindRelease:
		return s.replayHold(r)
	case kindCancel, kindDropped, kindCancelled:
		return s.replayCancel(r)
	}
	return nil
}

func (s *Store) replayAccept(r journal.Record) error {
	a, err := decodeAcceptance(r.Payload)
	if err != nil {
		return err
	}
	if len(a.recipients) == 0 || s.messages[a.message.ID] != nil {
		return errEncoding
	}
	if s.rebuilding != nil {
		s.joinQueues(a)
	}
	covered := func(p place) bool { return s.checkpoints.unfinished.covers(r.Position, p) }
	for i, id := range a.queues {
		if s.byID[id] == nil && !covered(a.place(i)) {
			a.queues[i] = s.replayQueue(id, queue.KeyOf(a.message, &a.recipients[i]))
		}
	}
	s.accept(newMessage(a, r.Position, r.End), a, covered)
	return nil
}

// replayQueue returns the number of the queue of a key: the one that the journal
// gave it, unless another queue of that key holds something. That one had come
// to its end before, and the record of it was lost; the new one becomes part of
// it, since of two queues of one key only one is offered.
func (s *Store) replayQueue(id uint64, key queue.Key) uint64 {
	q := s.byKey[key]
	if q == nil || q.count == 0 {
		q = s.addQueue(id, key)
	} else {
		s.joined[id] = q.id
		s.nextQueue = max(s.nextQueue, id+1)
	}
	return q.id
}

func newMessage(a *acceptance, from, to journal.Position) *message {
	return &message{shared: a.message, position: from, bytes: int64(to - from), queues: newQueueList(distinct(a.queues))}
}

func (s *Store) replayCopy(r journal.Record) error {
	a, err := decodeAcceptance(r.Payload)
	if err != nil {
		return err
	}
	msg, err := s.loadMessage(a.message.ID)
	if err != nil {
		return err
	}
	if msg == nil {
		if s.rebuilding != nil {
			s.acceptCopy(r, a)
		}
		return nil
	}
	s.move(msg, newMessage(a, r.Position, r.End))
	s.forgetMessage(msg) // a cancel may have kept it where it was
	return nil
}

func (s *Store) replayOutcome(r journal.Record) error {
	changes, err := decodeChanges(r.Payload)
	if err != nil {
		return err
	}
	var errs []error
	for i := range changes {
		// One row that cannot be read is no reason to forget the others.
		errs = append(errs, s.replayChange(r.Position, &changes[i]))
	}
	return errors.Join(errs...)
}

func (s *Store) replayChange(at journal.Position, c *change) error {
	if id, ok := s.joined[c.queue]; ok {
		c.queue = id
	}
	if s.rebuilding != nil {
		c.queue = s.rebuilding.queues[c.queue]
	}
	if s.checkpoints.unfinished.covers(at, place{c.queue, c.recipient}) {
		return s.replayCovered(c)
	}
	e, err := s.loadEntry(c.queue, c.recipient)
	if err != nil {
		return err
	}
	if e == nil || e.state == gone {
		if s.rebuilding != nil {
			s.rebuilding.late(c)
		}
		return nil // it ended before, or its accept was lost
	}
	if c.gone {
		s.end(e)
		return nil
	}
	c.event = append([]byte(nil), c.event...) // the payload is not ours
	s.postpone(e, c)
	return nil
}

// replayCovered applies to the message alone what became of a recipient whose
// row knows it.
func (s *Store) replayCovered(c *change) error {
	if !c.gone {
		return nil
	}
	msg, err := s.loadMessage(c.recipient.message)
	if err != nil || msg == nil {
		return err
	}
	if msg.owed > 0 {
		s.owe(msg, -1)
	}
	s.forgetMessage(msg)
	return nil
}

// holdBack lets what is due after a crash wait a short random time, so that a
// crash loop does not hammer a peer.
func (s *Store) holdBack() {
	if s.options.RestartDelay <= 0 {
		return
	}
	now := s.options.Now()
	for _, q := range s.byID {
		if q.nextDue() > nanoseconds(now) {
			continue
		}
		q.notBefore = nanoseconds(now.Add(rand.N(s.options.RestartDelay)))
		for _, e := range slices.Clone(q.head) {
			if e.due < q.notBefore {
				s.postpone(e, &change{due: q.notBefore, attempts: e.attempts})
			}
		}
		s.reschedule(q)
	}
}

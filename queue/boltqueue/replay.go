package boltqueue

import (
	"math/rand/v2"
	"slices"

	"github.com/postrider-mta/postrider/queue/journal"
)

// replayedChanges, in checkpoints' worth, are kept in memory at a start: more
// than a crash leaves behind as a rule, so that the first delivery does not wait
// for a checkpoint on a cold disk.
const replayedChanges = 4

// replay applies what the journal holds beyond the last checkpoint.
func (s *Store) replay() error {
	report, err := s.journal.Replay(s.applied, func(r journal.Record) error {
		if err := s.replayRecord(r); err != nil {
			s.damaged.Add(1)
			s.options.Logger.Error("store: journal record not understood", "position", r.Position, "error", err)
		}
		s.applied = r.End
		if len(s.dirtyEntries.things) >= replayedChanges*s.options.CheckpointChanges {
			return s.checkpoint(false)
		}
		return nil
	})
	if err != nil {
		return err
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
	for i, id := range a.queues {
		if s.byID[id] == nil {
			s.addQueue(id, queueKeyOf(a.message, &a.recipients[i]))
		}
	}
	s.accept(newMessage(a, r.Position, r.End), a)
	return nil
}

func newMessage(a *acceptance, from, to journal.Position) *message {
	return &message{shared: a.message, position: from, bytes: int64(to - from), queues: distinct(a.queues)}
}

func (s *Store) replayCopy(r journal.Record) error {
	a, err := decodeAcceptance(r.Payload)
	if err != nil {
		return err
	}
	msg, err := s.loadMessage(a.message.ID)
	if err != nil || msg == nil {
		return err
	}
	s.move(msg, newMessage(a, r.Position, r.End))
	return nil
}

func (s *Store) replayOutcome(r journal.Record) error {
	changes, err := decodeChanges(r.Payload)
	if err != nil {
		return err
	}
	for i := range changes {
		c := &changes[i]
		e, err := s.loadEntry(c.queue, c.recipient)
		if err != nil {
			return err
		}
		if e == nil || e.state == gone {
			continue // it ended before, or its accept was lost
		}
		if c.gone {
			s.end(e)
			continue
		}
		c.event = append([]byte(nil), c.event...) // the payload is not ours
		s.postpone(e, c)
	}
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

package boltqueue

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

var (
	errNoRecipients = errors.New("a submission needs recipients")
	errNoID         = errors.New("a submission needs a message id")
)

// Accept implements queue.Store.
func (s *Store) Accept(ctx context.Context, sub *queue.Submission) error {
	switch {
	case len(sub.Recipients) == 0:
		return errNoRecipients
	case sub.Message.ID.IsZero():
		return errNoID
	}
	if err := s.space.check(int64(len(sub.Body))); err != nil {
		return err
	}
	a := &acceptance{message: ownMessage(&sub.Message), recipients: slices.Clone(sub.Recipients)}
	a.due = firstDue(a.message, s.options.Now())
	if err := s.pin(a); err != nil {
		return err
	}
	room := s.scratches.take()
	defer s.scratches.giveBack(room)
	room.b = a.appendHead(room.b)
	w := &journal.Write{Kind: kindAccept, Head: room.b, Body: sub.Body, Value: a}
	if err := s.journal.Append(ctx, w); err != nil {
		s.unpin(a)
		return storageError(err)
	}
	return nil
}

// ownMessage copies a message with all that its fields point to.
func ownMessage(m *queue.Message) *queue.Message {
	own := *m
	own.Tags = slices.Clone(m.Tags)
	own.Metadata = json.RawMessage(slices.Clone([]byte(m.Metadata)))
	return &own
}

// pin finds the queues of the recipients and keeps their numbers until the
// record is applied.
func (s *Store) pin(a *acceptance) error {
	a.queues = make([]uint64, len(a.recipients))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.waitForRoom(); err != nil {
		return err
	}
	s.coming += len(a.recipients)
	for i := range a.recipients {
		q := s.queueFor(queue.KeyOf(a.message, &a.recipients[i]))
		q.pins++
		a.queues[i] = q.id
	}
	return nil
}

func (s *Store) unpin(a *acceptance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming -= len(a.recipients)
	s.room.Broadcast()
	for _, id := range a.queues {
		q := s.byID[id]
		q.pins--
		s.release(q)
	}
}

// committed applies a durable group, in the order of the journal.
func (s *Store) committed(group []*journal.Write) {
	s.mu.Lock()
	for _, w := range group {
		s.apply(w)
		s.sinceCheckpoint += int64(w.End - w.Position)
	}
	s.applied = group[len(group)-1].End
	due := s.checkpointDue()
	s.room.Broadcast() // what came and went leaves room
	s.mu.Unlock()
	if due {
		s.checkpoints.request()
	}
	s.events.committed(group)
}

func (s *Store) apply(w *journal.Write) {
	switch v := w.Value.(type) {
	case *acceptance:
		s.coming -= len(v.recipients)
		for _, id := range v.queues {
			s.byID[id].pins--
		}
		s.accept(newMessage(v, w.Position, w.End), v, nil)
	case *outcomes:
		s.applyOutcomes(v)
	case *holdChange:
		s.applyHold(v)
	case *cancel:
		s.applyCancel(v, w.Position)
	case *dropped:
		s.applyDropped(v)
	case cancelEnd:
		s.cancels.remove(journal.Position(v))
	case *message:
		s.move(v, &message{position: w.Position, bytes: int64(w.End - w.Position)})
	}
}

package boltqueue

import (
	"context"
	"errors"
	"time"

	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// spareIdle is how long spare segments are kept while none is begun.
const spareIdle = 10 * time.Minute

// giveBackDisk removes the segments that nobody needs any more and moves the
// survivors of one that is nearly empty.
func (s *Store) giveBackDisk() {
	s.checkpoints.running.Lock()
	defer s.checkpoints.running.Unlock()
	if err := s.syncRename(); err != nil {
		s.options.Logger.Warn("store: segments are kept", "error", err)
		return
	}
	before := min(s.checkpoints.position, s.events.kept()).Segment()
	moved := false
	for _, segment := range s.journal.Segments() {
		if segment.Number >= before {
			return
		}
		row := s.checkpoints.kept[segment.Number]
		switch {
		case row.messages == 0:
			if err := s.journal.Remove(segment.Number); err != nil {
				s.options.Logger.Warn("store: segment not removed", "segment", segment.Number, "error", err)
			}
		case !moved && !time.Now().Before(s.checkpoints.compactAt) && float64(row.bytes) < s.options.SparseShare*float64(segment.Bytes):
			moved = true
			if err := s.moveSurvivors(segment.Number); err != nil {
				s.checkpoints.compactAt = time.Now().Add(compactPause)
				s.options.Logger.Warn("store: survivors not moved", "segment", segment.Number, "error", err)
			}
		}
	}
}

// errSegmentEnd ends the scan of one segment.
var errSegmentEnd = errors.New("end of segment")

// moveSurvivors copies what is still owed of a segment to the journal's end.
// The segment goes after the checkpoint that takes note of it.
func (s *Store) moveSurvivors(number uint32) error {
	err := s.journal.Scan(journal.MakePosition(number, 0), func(r journal.Record) error {
		if r.Position.Segment() != number {
			return errSegmentEnd
		}
		if r.Kind != kindAccept && r.Kind != kindCopy {
			return nil
		}
		return s.moveSurvivor(r)
	})
	if errors.Is(err, errSegmentEnd) {
		return nil
	}
	return err
}

func (s *Store) moveSurvivor(r journal.Record) error {
	a, err := decodeAcceptance(r.Payload)
	if err != nil {
		return nil // not understood: it cannot be owed
	}
	msg, err := s.holdMessage(a.message.ID, r.Position)
	if err != nil || msg == nil {
		return err
	}
	w := &journal.Write{Kind: kindCopy, Body: r.Payload, Value: msg}
	err = s.journal.Append(context.Background(), w)
	s.mu.Lock()
	defer s.mu.Unlock()
	msg.users--
	s.forgetMessage(msg)
	return err
}

// holdMessage keeps a message in memory if it is owed and lies at a position.
func (s *Store) holdMessage(id queue.ID, at journal.Position) (*message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	msg, err := s.loadMessage(id)
	if err != nil || msg == nil {
		return nil, err
	}
	if msg.owed == 0 || msg.position != at || s.cancels.concern(msg.shared) {
		s.forgetMessage(msg)
		return nil, nil
	}
	msg.users++
	return msg, nil
}

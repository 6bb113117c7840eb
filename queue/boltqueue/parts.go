package boltqueue

import (
	"cmp"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/queue/journal"
)

// bbolt keeps every page that a transaction changes in memory until its commit,
// and the changes of a backlog hit pages of their own. A checkpoint is therefore
// written in parts, in the order of the recipients' places. All parts but the
// last say how far they came: up to that place the rows of recipients, queues
// and the due index are those of the checkpoint's position, and all else is as
// the checkpoint before left it. The last part writes what does not depend on
// the place, messages and sums, and moves the position.
//
// A start that finds a checkpoint unfinished replays from the position before
// it, and leaves alone what the parts had written.

// unfinished is a checkpoint of which only some parts were written, or may have
// been. The zero value is none.
type unfinished struct {
	// until is the checkpoint's position.
	until journal.Position
	// done is the place up to which, itself included, the rows are as of until.
	done place
}

// covers reports whether the effect of a record on a recipient is in its row.
func (u unfinished) covers(at journal.Position, p place) bool {
	return at < u.until && p.compare(u.done) <= 0
}

func (p place) compare(other place) int {
	return cmp.Or(cmp.Compare(p.queue, other.queue), p.key.compare(other.key))
}

func (u unfinished) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(u.until))
	return appendRecipientRowKey(b, u.done.queue, u.done.key)
}

func decodeUnfinished(b []byte) (unfinished, error) {
	if len(b) == 0 {
		return unfinished{}, nil
	}
	if len(b) != 8+recipientKeyLength {
		return unfinished{}, fmt.Errorf("unfinished checkpoint: %w", errEncoding)
	}
	return unfinished{
		until: journal.Position(binary.BigEndian.Uint64(b)),
		done:  decodePlace(b[8:]),
	}, nil
}

// writeParts writes a snapshot. checkpoints.running is held.
func (s *Store) writeParts(snap *snapshot) error {
	snap.sort()
	w := snapshotWriter{snapshot: snap, pages: s.options.CheckpointPages, least: s.checkpoints.unfinished.done}
	for !w.finished {
		// Should the commit fail, nobody knows whether it took effect.
		err := s.db.Update(func(tx *bolt.Tx) error {
			s.tuneFreelist(tx)
			return w.part(tx)
		})
		if !w.finished || err != nil {
			s.checkpoints.unfinished = unfinished{snap.position, w.reached()}
		}
		if err != nil {
			return err
		}
		if s.checkpoints.betweenParts != nil && !w.finished {
			s.checkpoints.betweenParts()
		}
	}
	s.checkpoints.unfinished = unfinished{}
	return nil
}

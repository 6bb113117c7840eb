package boltqueue

import (
	"errors"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/queue"
)

// mirrorLimit is how many checkpoints wait for the copy. When there are more,
// the next one does not begin: changes collect in memory then, and new mail
// waits once there are too many.
const mirrorLimit = 4

// errMirror: what a failed checkpoint has written, the copy does not have.
var errMirror = errors.New("a checkpoint failed meanwhile")

// mirror is the checkpoints that were written since a compaction began to copy
// queue.db. It is guarded by checkpoints.running.
type mirror struct {
	// open: the copy has its view of the file.
	open      bool
	snapshots []*snapshot
	// broken: a checkpoint failed.
	broken bool
}

func (m *mirror) full() bool { return m != nil && len(m.snapshots) >= mirrorLimit }

func (m *mirror) take() []*snapshot {
	taken := m.snapshots
	m.snapshots = nil
	return taken
}

func (s *Store) takeMirrored(m *mirror) []*snapshot {
	s.checkpoints.running.Lock()
	defer s.checkpoints.running.Unlock()
	return m.take()
}

// finish lets go of a snapshot, or keeps it for the copy that needs it.
func (c *checkpointer) finish(snap *snapshot, err error) {
	switch {
	case c.mirror == nil || !c.mirror.open:
	case err != nil:
		c.mirror.broken = true
	default:
		snap.detach()
		c.mirror.snapshots = append(c.mirror.snapshots, snap)
		c.snapshot = &snapshot{}
		return
	}
	snap.end()
}

// detach lets go of the entries.
func (s *snapshot) detach() {
	for i := range s.entries {
		s.entries[i].entry = nil
	}
}

// catchUp writes checkpoints to the copy.
func (s *Store) catchUp(fresh *boltguard.DB, snapshots []*snapshot) error {
	for _, snap := range snapshots {
		w := snapshotWriter{snapshot: snap, pages: s.options.CheckpointPages}
		for !w.finished {
			if s.stopping() {
				return queue.ErrClosed
			}
			if err := fresh.Update(func(tx *bolt.Tx) error { return w.part(tx) }); err != nil {
				return err
			}
		}
	}
	return fresh.Sync()
}

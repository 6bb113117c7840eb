package boltqueue

import (
	"context"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

const (
	// overload is how many times CheckpointChanges may be in memory, with those
	// that a checkpoint is writing and those on their way into the journal,
	// before new mail and leases wait.
	overload = 2
	// soon is how far ahead of its due time a recipient stays in memory.
	soon = int64(time.Second)
)

// checkpointer is the state of the checkpoints.
type checkpointer struct {
	wanted chan struct{}
	// running is held during a checkpoint and while segments go.
	running sync.Mutex
	// fault is why the last one failed; guarded by Store.mu.
	fault error
	// position is the last one's; kept is what was owed of each segment then.
	// Both are guarded by running.
	position journal.Position
	kept     map[uint32]segmentRow
	// compactAt is when a compaction may be tried, after one that failed.
	// renamed: its rename may not be durable yet. Both are guarded by running.
	compactAt time.Time
	renamed   bool
	// unfinished is the checkpoint that was begun and failed, or that Open found;
	// guarded by running.
	unfinished unfinished
	// betweenParts, if set, is called between the parts of a checkpoint.
	betweenParts func()
	// snapshot is used again and again, so that its room is; mirror is nil but
	// during a compaction. Both are guarded by running.
	snapshot *snapshot
	mirror   *mirror
}

func (c *checkpointer) init() { c.wanted, c.snapshot = make(chan struct{}, 1), &snapshot{} }

func (c *checkpointer) request() {
	select {
	case c.wanted <- struct{}{}:
	default:
	}
}

// checkpointDue reports whether enough has changed. Store.mu is held.
func (s *Store) checkpointDue() bool {
	return s.sinceCheckpoint >= s.options.CheckpointBytes ||
		len(s.dirtyEntries.things) >= s.options.CheckpointChanges
}

// waitForRoom keeps new changes from piling up in memory faster than
// checkpoints take them. Store.mu is held.
func (s *Store) waitForRoom() error {
	for {
		switch {
		case s.closed:
			return queue.ErrClosed
		case len(s.dirtyEntries.things)+s.frozen+s.coming < overload*s.options.CheckpointChanges:
			return nil
		case s.checkpoints.fault != nil:
			return refusal(s.checkpoints.fault)
		}
		s.room.Wait()
	}
}

// waitToLease keeps outcomes from piling up in memory faster than checkpoints
// take them. While none succeeds it does not: what was sent has an outcome all
// the same. Store.mu is held.
func (s *Store) waitToLease(ctx context.Context) error {
	crowded := func() bool {
		return len(s.dirtyEntries.things)+s.frozen >= overload*s.options.CheckpointChanges && s.checkpoints.fault == nil
	}
	if s.closed || !crowded() {
		return nil
	}
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.room.Broadcast()
	})
	defer stop()
	for s.checkpoints.request(); !s.closed && crowded(); s.room.Wait() {
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// runCheckpoints writes a checkpoint whenever one is due, and gives back the
// disk that it frees.
func (s *Store) runCheckpoints() {
	tick := time.NewTicker(s.options.CheckpointInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		case <-s.checkpoints.wanted:
		}
		if err := s.checkpoint(false); err != nil {
			s.pause(s.checkpointFailed(err))
			continue
		}
		s.giveBackDisk()
		if err := s.journal.ReleaseIdle(spareIdle); err != nil {
			s.options.Logger.Warn("store: spare segments stay", "error", err)
		}
		if s.compactionDue() {
			s.background.Go(s.compactIfSparse)
		}
	}
}

// pause waits unless the store is closed.
func (s *Store) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.stop:
	case <-timer.C:
	}
}

func (s *Store) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// checkpoint brings queue.db up to all that was applied. With clean it also
// says that nothing follows.
func (s *Store) checkpoint(clean bool) error {
	s.checkpoints.running.Lock()
	defer s.checkpoints.running.Unlock()
	if s.checkpoints.mirror.full() && !clean {
		return nil // it is asked for when the copy has them
	}
	return s.checkpointNow(clean)
}

// checkpointNow is checkpoint where checkpoints.running is held.
func (s *Store) checkpointNow(clean bool) error {
	c := &s.checkpoints
	snap := s.freeze()
	if snap.position == c.position && snap.empty() && !clean && c.unfinished == (unfinished{}) {
		return nil
	}
	snap.clean = clean
	err := s.writeParts(snap)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.room.Broadcast()
	defer c.finish(snap, err)
	c.fault = err
	if err != nil {
		s.thaw(snap)
		return err
	}
	s.takeOver(snap)
	c.position, c.kept = snap.position, snap.owed
	return nil
}

// quickScan is how many used pages an open may have to look at: some tens of
// milliseconds, on a cold disk too.
const quickScan = 4096

// tuneFreelist leaves the list of free pages unwritten only where it is longer
// than the work of finding them again: without it an open has to look at every
// page in use, which with a backlog takes seconds.
func (s *Store) tuneFreelist(tx *bolt.Tx) {
	pages := int(tx.Size()) / s.db.Info().PageSize
	free := s.db.Stats().FreePageN
	used := pages - free
	s.db.NoFreelistSync = free > used && used < quickScan
}

// freeze takes what is dirty, as it is at one position of the journal.
func (s *Store) freeze() *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := s.checkpoints.snapshot
	snap.begin(s.applied, s.nextQueue)
	s.dirtyEntries.takeAll(snap.addEntry)
	s.dirtyMessages.takeAll(snap.addMessage)
	s.frozen = len(snap.entries)
	for number, row := range s.segments {
		snap.owed[number] = row
	}
	for number := range s.changedSegments {
		snap.segments[number] = s.segments[number]
	}
	clear(s.changedSegments)
	snap.usage = s.freezeUsage()
	if s.holds.changed {
		snap.holds, snap.holdsChanged, s.holds.changed = s.holds.sorted(), true, false
		snap.releases = s.holds.ofReleases()
	}
	if s.cancels.changed {
		snap.cancels, snap.cancelsChanged, s.cancels.changed = slices.Clone(s.cancels.standing), true, false
	}
	s.sinceCheckpoint = 0
	return snap
}

// takeOver lets rows stand for what was written: what ended is forgotten, what
// is not due soon leaves memory. Store.mu is held.
func (s *Store) takeOver(snap *snapshot) {
	s.generation++
	s.frozen = 0
	limit := nanoseconds(s.options.Now()) + soon
	for i := len(snap.entries) - 1; i >= 0; i-- { // the newest leave first
		f := &snap.entries[i]
		e := f.entry
		e.frozen, e.stored = false, !f.gone()
		switch {
		case e.place != 0:
		case f.gone():
			s.forget(e)
		case e.state == waiting && s.leaves(e, limit):
			s.forget(e)
			f.queue.lower(mark{f.due, f.key}) // where the row is
		}
	}
	for i := range snap.messages {
		m := snap.messages[i].message
		m.frozen, m.stored = false, snap.messages[i].owed > 0
		s.forgetMessage(m)
	}
}

func (s *Store) leaves(e *entry, limit int64) bool {
	return e.due > limit || len(e.queue.head) > s.options.HeadLength || s.heads > s.options.HeadTotal
}

// thaw makes dirty again what could not be written. Some of it may have been: a
// part before the one that failed, or that one itself. So there may be a row of
// each that was to get one. Store.mu is held.
func (s *Store) thaw(snap *snapshot) {
	s.frozen = 0
	for i := range snap.entries {
		e := snap.entries[i].entry
		e.frozen, e.stored = false, e.stored || !snap.entries[i].gone()
		if e.state == gone && !e.stored {
			s.forget(e)
			continue
		}
		s.dirtyEntries.add(e)
	}
	for i := range snap.messages {
		m := snap.messages[i].message
		m.frozen, m.stored = false, m.stored || snap.messages[i].owed > 0
		if m.owed == 0 && !m.stored {
			s.dirtyMessages.remove(m)
			s.forgetMessage(m)
			continue
		}
		s.dirtyMessages.add(m)
	}
	for number := range snap.segments {
		s.changedSegments[number] = true
	}
	s.thawUsage(snap.usage)
	s.holds.changed = s.holds.changed || snap.holdsChanged
	s.cancels.changed = s.cancels.changed || snap.cancelsChanged
}

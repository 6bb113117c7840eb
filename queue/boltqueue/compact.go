package boltqueue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/queue"
)

const (
	// compactName is the file that a compaction writes; one that is found at
	// the start was left by a crash.
	compactName = databaseName + ".compact"
	// compactTransaction is how much a compaction writes at once.
	compactTransaction = 1 << 20
	// catchUps is how often the copy catches up with the checkpoints before they
	// are held up for the rest: each time there is less to do.
	catchUps = 3
	// compactPause is how long after a failed compaction the next one is tried.
	compactPause = time.Minute
)

// view reads queue.db.
func (s *Store) view(read func(*bolt.Tx) error) error {
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	err := s.db.View(read)
	if err != nil {
		s.meetDamage(err)
	}
	return err
}

// compactIfSparse writes queue.db anew, without its free pages, if most of it
// is free: bbolt itself never shortens the file, and what was deleted stays
// readable there. Checkpoints go on meanwhile, and reach the copy behind it.
func (s *Store) compactIfSparse() {
	m, start, before := s.beginCompaction()
	if m == nil {
		return
	}
	err := s.compact(m)
	s.endCompaction(err)
	switch {
	case err == nil:
		s.options.Logger.Info("store: queue.db compacted", "octets", s.databaseBytes(), "before", before, "duration", time.Since(start))
	case !errors.Is(err, queue.ErrClosed):
		s.options.Logger.Warn("store: queue.db not compacted", "error", err)
	}
}

// beginCompaction returns nil where none is due, or one is under way.
func (s *Store) beginCompaction() (m *mirror, start time.Time, before int64) {
	c := &s.checkpoints
	c.running.Lock()
	defer c.running.Unlock()
	if !s.compactable() {
		return nil, start, 0
	}
	c.mirror = &mirror{}
	return c.mirror, time.Now(), s.databaseBytes()
}

func (s *Store) endCompaction(err error) {
	c := &s.checkpoints
	c.running.Lock()
	defer c.running.Unlock()
	c.mirror = nil
	if err != nil {
		c.compactAt = time.Now().Add(compactPause)
	}
	c.request() // one may have waited for the mirror
}

// compactionDue reports whether there is something for compactIfSparse to do.
func (s *Store) compactionDue() bool {
	s.checkpoints.running.Lock()
	defer s.checkpoints.running.Unlock()
	return s.compactable()
}

func (s *Store) compactable() bool {
	c := &s.checkpoints
	return c.mirror == nil && c.unfinished == (unfinished{}) && !time.Now().Before(c.compactAt) && s.sparse()
}

// sparse reports whether a compaction pays and has the room it needs.
func (s *Store) sparse() bool {
	o := &s.options
	if o.CompactFreeShare <= 0 {
		return false
	}
	used, unused := s.extent()
	if unused < o.CompactMinBytes || float64(unused) < o.CompactFreeShare*float64(used+unused) {
		return false
	}
	free, err := o.Files.FreeBytes(o.Dir)
	return err == nil && free > used+max(o.MinFree, 0)
}

// extent returns how many octets of queue.db are in pages in use, and how many
// in others. What the file has been lengthened by in advance is neither.
// checkpoints.running is held.
func (s *Store) extent() (used, unused int64) {
	unused = s.freePages()
	if err := s.db.View(func(tx *bolt.Tx) error { used = tx.Size() - unused; return nil }); err != nil {
		return 0, 0 // closed
	}
	return used, unused
}

// compact puts a copy in the place of queue.db.
func (s *Store) compact(m *mirror) error {
	path := filepath.Join(s.options.Dir, compactName)
	if err := removeLeftover(path); err != nil {
		return err
	}
	fresh, err := s.copyDatabase(path, m)
	if err == nil {
		err = s.exchangeDatabase(fresh, m)
	}
	if err != nil && fresh != nil {
		err = errors.Join(err, fresh.Close())
	}
	if err != nil {
		err = errors.Join(err, removeLeftover(path))
	}
	return err
}

// exchangeDatabase lets the copy catch up with the checkpoints, and puts it in
// the place of queue.db.
func (s *Store) exchangeDatabase(fresh *boltguard.DB, m *mirror) error {
	for range catchUps {
		if err := s.catchUp(fresh, s.takeMirrored(m)); err != nil {
			return err
		}
	}
	s.checkpoints.running.Lock()
	old, err := s.exchangeNow(fresh, m)
	s.checkpoints.running.Unlock()
	if err == nil {
		err = old.Close()
		if err != nil {
			s.options.Logger.Warn("store: the queue.db that was replaced is not closed", "error", err)
		}
		return nil
	}
	return err
}

// exchangeNow does the last of it. checkpoints.running is held, so that nothing
// changes in either file.
func (s *Store) exchangeNow(fresh *boltguard.DB, m *mirror) (old *boltguard.DB, err error) {
	if err := s.catchUp(fresh, m.take()); err != nil {
		return nil, err
	}
	if m.broken {
		return nil, errMirror
	}
	fresh.NoSync = false
	s.dbMu.Lock()
	old = s.db
	if err = os.Rename(filepath.Join(s.options.Dir, compactName), s.databasePath()); err == nil {
		s.db = fresh
	}
	s.dbMu.Unlock()
	if err != nil {
		return nil, err
	}
	// Until the folder is synced a crash may bring the old file back, which
	// needs the journal from the last checkpoint on that it has.
	s.checkpoints.renamed = true
	if err := s.syncRename(); err != nil {
		s.options.Logger.Warn("store: segments are kept", "error", err)
	}
	return old, nil
}

// copyDatabase returns a copy of queue.db as it is now; m gets what comes later.
// The file is locked as the original is.
func (s *Store) copyDatabase(path string, m *mirror) (*boltguard.DB, error) {
	if err := newDatabase(path); err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	fresh, err := boltguard.Open(path, databaseOptions())
	if err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	fresh.NoSync = true // synced before anybody relies on it
	if err := s.copyRows(fresh, m); err != nil {
		return fresh, fmt.Errorf("copy queue.db: %w", err)
	}
	return fresh, fresh.Sync()
}

// copyRows holds up checkpoints until it has its view of the file, no longer.
func (s *Store) copyRows(fresh *boltguard.DB, m *mirror) error {
	running := &s.checkpoints.running
	running.Lock()
	if s.checkpoints.unfinished != (unfinished{}) {
		running.Unlock()
		return errMirror
	}
	viewed := false
	err := s.db.View(func(tx *bolt.Tx) error {
		viewed, m.open = true, true
		running.Unlock()
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error { return s.copyBucket(fresh, name, b) })
	})
	if !viewed {
		running.Unlock()
	}
	return err
}

func (s *Store) copyBucket(fresh *boltguard.DB, name []byte, from *bolt.Bucket) error {
	c := from.Cursor()
	k, v := c.First()
	for more := true; more; more = k != nil {
		if s.stopping() {
			return queue.ErrClosed
		}
		err := fresh.Update(func(tx *bolt.Tx) error {
			to, err := tx.CreateBucketIfNotExists(name)
			if err != nil {
				return err
			}
			to.FillPercent = 0.9 // the keys come in order
			for octets := 0; k != nil && octets < compactTransaction; k, v = c.Next() {
				if err := to.Put(k, v); err != nil {
					return err
				}
				octets += len(k) + len(v)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// syncRename makes the last compaction's rename durable.
func (s *Store) syncRename() error {
	if !s.checkpoints.renamed {
		return nil
	}
	if err := s.options.Files.SyncDir(s.options.Dir); err != nil {
		return fmt.Errorf("sync data folder: %w", err)
	}
	s.checkpoints.renamed = false
	return nil
}

func removeLeftover(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

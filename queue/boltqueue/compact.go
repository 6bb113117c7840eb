package boltqueue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	// compactName is the file that a compaction writes; one that is found at
	// the start was left by a crash.
	compactName = databaseName + ".compact"
	// compactTransaction is how much a compaction writes at once.
	compactTransaction = 1 << 20
	// compactPause is how long after a failed compaction the next one is tried.
	compactPause = time.Minute
)

// view reads queue.db.
func (s *Store) view(read func(*bolt.Tx) error) error {
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	return s.db.View(read)
}

// compactIfSparse writes queue.db anew, without its free pages, if most of it
// is free: bbolt itself never shortens the file, and what was deleted stays
// readable there. Meanwhile there are no checkpoints: changes collect in
// memory, mail flows on as long as there is room for them, and waits then.
func (s *Store) compactIfSparse() {
	c := &s.checkpoints
	c.running.Lock()
	defer c.running.Unlock()
	if !s.sparse() || time.Now().Before(c.compactAt) {
		return
	}
	start, before := time.Now(), s.databaseBytes()
	if err := s.compact(); err != nil {
		c.compactAt = time.Now().Add(compactPause)
		s.options.Logger.Warn("store: queue.db not compacted", "error", err)
		return
	}
	s.options.Logger.Info("store: queue.db compacted", "octets", s.databaseBytes(), "before", before, "duration", time.Since(start))
}

// sparse reports whether a compaction pays and has the room it needs.
func (s *Store) sparse() bool {
	o := &s.options
	if o.CompactFreeShare <= 0 {
		return false
	}
	size := s.databaseBytes()
	stats := s.db.Stats()
	unused := int64(stats.FreePageN+stats.PendingPageN) * int64(s.db.Info().PageSize)
	if unused < o.CompactMinBytes || float64(unused) < o.CompactFreeShare*float64(size) {
		return false
	}
	free, err := o.Files.FreeBytes(o.Dir)
	return err == nil && free > size-unused+max(o.MinFree, 0)
}

// compact puts a copy in the place of queue.db. checkpoints.running is held, so
// that nothing changes in the file.
func (s *Store) compact() error {
	path := filepath.Join(s.options.Dir, compactName)
	if err := removeLeftover(path); err != nil {
		return err
	}
	fresh, err := s.copyDatabase(path)
	if err != nil {
		return errors.Join(err, removeLeftover(path))
	}
	s.dbMu.Lock()
	old := s.db
	if err = os.Rename(path, filepath.Join(s.options.Dir, databaseName)); err == nil {
		s.db = fresh
	}
	s.dbMu.Unlock()
	if err != nil {
		return errors.Join(err, fresh.Close(), removeLeftover(path))
	}
	// Until the folder is synced a crash may bring the old file back, which
	// needs the journal from the last checkpoint on that it has.
	s.checkpoints.renamed = true
	return errors.Join(old.Close(), s.syncRename())
}

// copyDatabase returns the copy, complete on disk and locked as the original.
func (s *Store) copyDatabase(path string) (*bolt.DB, error) {
	options := databaseOptions()
	options.NoSync = true // synced once, before anybody relies on it
	fresh, err := bolt.Open(path, 0o600, options)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	err = bolt.Compact(fresh, s.db, compactTransaction)
	if err == nil {
		err = fresh.Sync()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("copy queue.db: %w", err), fresh.Close())
	}
	fresh.NoSync = false
	return fresh, nil
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

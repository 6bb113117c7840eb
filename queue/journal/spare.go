package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// sparePrefix begins the file name of a spare.
const sparePrefix = "spare-"

// spare is a segment of which nothing is needed, to be written again: a sync
// of octets that a file had before needs no new metadata on disk and takes a
// fraction of the time.
type spare struct {
	number uint32
	bytes  int64
}

// spares are few, as their octets are those of mail that has gone.
type spares struct {
	most int

	mu  sync.Mutex
	all []spare
	// newest is the last segment begun. Those numbered above above may become
	// spares.
	newest, above uint32
	// taken is when a segment was last begun.
	taken time.Time
}

// take returns a spare for the segment of that number; none where there is no
// other.
func (s *spares) take(number uint32) spare {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest, s.taken = number, time.Now()
	if len(s.all) == 0 {
		return spare{}
	}
	first := s.all[0]
	s.all = s.all[1:]
	return first
}

func (s *spares) wants(one spare) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all) < s.most && one.number > s.above && one.bytes > segmentHeaderSize
}

func (s *spares) add(one spare) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, one)
}

func (s *spares) bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := int64(0)
	for _, one := range s.all {
		sum += one.bytes
	}
	return sum
}

// empty takes all; with forget, no segment begun so far becomes one again.
func (s *spares) empty(forget bool) []spare {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	if forget {
		s.above = s.newest
	}
	return all
}

func (s *spares) unusedSince() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

func (j *Journal) sparePath(number uint32) string {
	return filepath.Join(j.options.Dir, sparePrefix+segmentName(number))
}

func (j *Journal) spareOf(number uint32) spare {
	return spare{number: number, bytes: j.segments.size(number)}
}

// recycle makes a segment a spare. Its old name must be gone for good before
// anything is written into it, and its octets from the cache, whose pages may
// be larger than a block and are written as a whole.
func (j *Journal) recycle(one spare) error {
	if err := j.options.Files.Rename(j.path(one.number), j.sparePath(one.number)); err != nil {
		return err
	}
	err := errors.Join(j.options.Files.SyncDir(j.options.Dir), j.options.Files.DropCache(j.sparePath(one.number)))
	if err != nil {
		return errors.Join(err, j.options.Files.Remove(j.sparePath(one.number)))
	}
	j.spares.add(one)
	return nil
}

// Forget unlinks the spares and keeps all that was written so far from
// becoming one, and wipes what was kept in memory, so that what was erased stays
// in neither.
func (j *Journal) Forget() error {
	j.recent.forget()
	return j.unlinkSpares(j.spares.empty(true))
}

// ReleaseIdle unlinks the spares if no segment was begun for so long.
func (j *Journal) ReleaseIdle(idle time.Duration) error {
	if time.Since(j.spares.unusedSince()) < idle {
		return nil
	}
	return j.unlinkSpares(j.spares.empty(false))
}

func (j *Journal) unlinkSpares(all []spare) error {
	var errs []error
	for _, one := range all {
		errs = append(errs, j.options.Files.Remove(j.sparePath(one.number)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove spare segments: %w", err)
	}
	return nil
}

// removeLeftSpares unlinks what an earlier process left.
func (j *Journal) removeLeftSpares() error {
	entries, err := j.options.Files.ReadDir(j.options.Dir)
	if err != nil {
		return fmt.Errorf("list journal: %w", err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), sparePrefix) {
			continue
		}
		if err := j.options.Files.Remove(filepath.Join(j.options.Dir, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove spare segment: %w", err)
		}
	}
	return nil
}

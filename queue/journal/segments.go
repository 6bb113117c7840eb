package journal

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
)

const segmentDigits = 8

func segmentName(number uint32) string { return fmt.Sprintf("%0*d", segmentDigits, number) }

func parseSegmentName(name string) (uint32, bool) {
	if len(name) < segmentDigits {
		return 0, false
	}
	n, err := strconv.ParseUint(name, 10, 32)
	return uint32(n), err == nil && n > 0 && segmentName(uint32(n)) == name
}

// segmentTable knows the segments on disk and their lengths.
type segmentTable struct {
	mu    sync.Mutex
	sizes map[uint32]int64
	bytes int64
	// active is the newest segment that was added, pinned are those that hold
	// the only copy of damaged bytes.
	active uint32
	pinned map[uint32]bool
}

func (t *segmentTable) load(files FileSystem, dir string) error {
	t.sizes, t.pinned = map[uint32]int64{}, map[uint32]bool{}
	entries, err := files.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list journal: %w", err)
	}
	for _, entry := range entries {
		number, ok := parseSegmentName(entry.Name())
		if !ok || entry.IsDir() {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return fmt.Errorf("list journal: %w", err)
		}
		t.grow(number, info.Size())
	}
	return nil
}

func (t *segmentTable) add(number uint32, size int64) {
	t.grow(number, size)
	t.mu.Lock()
	t.active = number
	t.mu.Unlock()
}

func (t *segmentTable) grow(number uint32, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes += size - t.sizes[number]
	t.sizes[number] = size
}

func (t *segmentTable) remove(number uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes -= t.sizes[number]
	delete(t.sizes, number)
}

func (t *segmentTable) pin(number uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pinned[number] = true
}

func (t *segmentTable) removable(number uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.sizes[number]
	return ok && number != t.active && !t.pinned[number]
}

func (t *segmentTable) size(number uint32) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sizes[number]
}

func (t *segmentTable) total() (bytes int64, count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytes, len(t.sizes)
}

func (t *segmentTable) list() []Segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Segment, 0, len(t.sizes))
	for number, size := range t.sizes {
		all = append(all, Segment{number, size})
	}
	slices.SortFunc(all, func(a, b Segment) int { return int(int64(a.Number) - int64(b.Number)) })
	return all
}

// from returns the segments numbered first and above, in order.
func (t *segmentTable) from(first uint32) []Segment {
	all := t.list()
	i, _ := slices.BinarySearchFunc(all, first, func(s Segment, n uint32) int {
		return int(int64(s.Number) - int64(n))
	})
	return all[i:]
}

func (t *segmentTable) last() (number uint32, size int64) {
	if all := t.list(); len(all) > 0 {
		last := all[len(all)-1]
		return last.Number, last.Bytes
	}
	return 0, 0
}

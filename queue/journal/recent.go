package journal

import (
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// recentBytes is enough for what comes in while the mail before it goes out.
const recentBytes = 16 << 20

// recent is memory of the journal's own for what it wrote last. The committer
// lays its groups out there, one behind the other and round again, and readers
// find them until they are overwritten: mail that goes out at once is read from
// nowhere else, and its segment need not be in the page cache.
type recent struct {
	mu     sync.RWMutex
	memory []byte
	// groups are the durable ones, in order of their positions, as they follow
	// each other in memory.
	groups []extent
	// from and to bound the room of the group being written; touched is how far
	// the memory was ever used.
	from, to, touched int

	hits, misses atomic.Int64
}

// extent is one group in memory, its octets [from, to).
type extent struct {
	at       Position
	from, to int
}

// open takes the memory; none if bytes is negative.
func (r *recent) open(bytes int) (err error) {
	if bytes > 0 {
		r.memory, err = allocate(bytes)
	}
	return err
}

// close gives the memory back. Nobody writes any more.
func (r *recent) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	memory := r.memory
	r.memory, r.groups, r.from, r.to, r.touched = nil, nil, 0, 0, 0
	return free(memory)
}

// reserve returns room for a group of at most so many octets, at an address that
// is a multiple of a block; nil if the group is too large to be kept. Older
// groups that lay there are forgotten.
func (r *recent) reserve(bytes int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes > len(r.memory)/2 {
		return nil
	}
	r.to = r.from + bytes
	if r.to > len(r.memory) {
		r.evict(r.from, len(r.memory))
		r.from, r.to = 0, bytes
	}
	r.evict(r.from, r.to)
	r.touched = max(r.touched, r.to)
	return r.memory[r.from:r.from:r.to]
}

// evict forgets the oldest groups as long as they lie in [from, to).
func (r *recent) evict(from, to int) {
	n := 0
	for n < len(r.groups) && r.groups[n].to > from && r.groups[n].from < to {
		n++
	}
	r.groups = r.groups[n:]
}

// keep lets readers find the first octets of the room reserved last, which are
// durable at a position.
func (r *recent) keep(at Position, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups = append(r.groups, extent{at: at, from: r.from, to: r.from + bytes})
	r.from += (bytes + blockSize - 1) / blockSize * blockSize
	r.to = r.from
}

// record returns the record at a position if it is here; its payload is the
// caller's.
func (r *recent) record(at Position, salt uint32) (Record, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	record, ok := decodeRecord(r.find(at), at, salt)
	if !ok {
		r.misses.Add(1)
		return Record{}, false
	}
	r.hits.Add(1)
	record.Payload = slices.Clone(record.Payload)
	return record, true
}

// find returns the octets from a position to the end of its group; nil if they
// are not here.
func (r *recent) find(at Position) []byte {
	after := sort.Search(len(r.groups), func(i int) bool { return r.groups[i].at > at })
	if after == 0 {
		return nil
	}
	group := r.groups[after-1]
	from := int64(group.from) + int64(at-group.at)
	if from >= int64(group.to) {
		return nil // of another group, or another segment
	}
	return r.memory[from:group.to]
}

// suffices reports whether nearly all that was read since the last call was
// here.
func (r *recent) suffices() bool {
	hits, misses := r.hits.Swap(0), r.misses.Swap(0)
	return len(r.memory) > 0 && misses <= hits/16
}

// forget wipes all but the group being written.
func (r *recent) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups = nil
	clear(r.memory[:r.from])
	clear(r.memory[r.to:max(r.to, r.touched)])
}

// forgetSegment forgets the groups of a segment, which is the oldest that is
// here or not here at all.
func (r *recent) forgetSegment(number uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups = slices.DeleteFunc(r.groups, func(g extent) bool { return g.at.Segment() == number })
}

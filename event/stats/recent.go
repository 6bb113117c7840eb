package stats

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
)

// recentHits is how many hits are remembered to know one that the tracker wrote
// twice: it does so with a batch of at most 1000 whose write was in doubt, and
// at once.
const recentHits = 4096

// recent are the last hits by the hashes of their ids, which are random.
type recent struct {
	order []uint64
	known map[uint64]struct{}
}

func readRecent(b []byte) *recent {
	r := &recent{known: map[uint64]struct{}{}}
	for ; len(b) >= 8; b = b[8:] {
		r.put(binary.BigEndian.Uint64(b))
	}
	return r
}

func (r *recent) append(b []byte) []byte {
	for _, hash := range r.order {
		b = binary.BigEndian.AppendUint64(b, hash)
	}
	return b
}

func (r *recent) clone() *recent {
	c := &recent{order: slices.Clone(r.order), known: make(map[uint64]struct{}, len(r.known))}
	for hash := range r.known {
		c.known[hash] = struct{}{}
	}
	return c
}

// add remembers an event and reports whether it is new.
func (r *recent) add(id string) bool {
	h := fnv.New64a()
	h.Write([]byte(id))
	hash := h.Sum64()
	if _, known := r.known[hash]; known {
		return false
	}
	r.put(hash)
	return true
}

func (r *recent) put(hash uint64) {
	if len(r.order) >= recentHits {
		delete(r.known, r.order[0])
		r.order = r.order[1:]
	}
	r.order = append(r.order, hash)
	r.known[hash] = struct{}{}
}

package suppress

import (
	"bytes"
	"slices"
)

// runBytes bounds the memory of an import: a million entries, more or less.
const runBytes = 96 << 20

// run gathers entries to be written in the order of their keys. They lie end
// to end in one piece of memory.
type run struct {
	limit int
	data  []byte
	rows  []span
}

// span is where an entry lies: its key, then its value.
type span struct{ at, key, value uint32 }

func (r *run) add(p placed) {
	r.rows = append(r.rows, span{uint32(len(r.data)), uint32(len(p.key)), uint32(len(p.value))})
	r.data = append(append(r.data, p.key...), p.value...)
}

func (r *run) full() bool { return len(r.data) >= r.limit }

func (r *run) len() int { return len(r.rows) }

func (r *run) key(s span) []byte { return r.data[s.at : s.at+s.key] }

// sort orders by key. Of equal keys the one that came first stays the first.
func (r *run) sort() {
	slices.SortFunc(r.rows, func(a, b span) int {
		if c := bytes.Compare(r.key(a), r.key(b)); c != 0 {
			return c
		}
		return int(a.at) - int(b.at)
	})
}

// at returns an entry without its tenant.
func (r *run) at(i int) (placed, error) {
	s := r.rows[i]
	p := placed{key: r.key(s), value: r.data[s.at+s.key : s.at+s.key+s.value]}
	flags, _, expires, _, ok := decodeTimes(p.value)
	if !ok {
		return p, ErrDamaged
	}
	p.expires, p.md5 = expires, flags&flagMD5 != 0
	return p, nil
}

// reset forgets the entries and keeps the memory.
func (r *run) reset() { r.data, r.rows = r.data[:0], r.rows[:0] }

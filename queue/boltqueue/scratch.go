package boltqueue

import "sync"

// maxScratch is the largest room that is kept for the next record, in octets.
const maxScratch = 32 << 10

// scratch is room to encode a record or its events in. The journal keeps none of
// it once the record is appended.
type scratch struct{ b []byte }

// scratches are shared by all that write: several records a message are as much
// memory as the collector would have to do with.
type scratches struct{ pool sync.Pool }

// take returns an empty one.
func (s *scratches) take() *scratch {
	if one, ok := s.pool.Get().(*scratch); ok {
		return one
	}
	return &scratch{make([]byte, 0, 1024)}
}

// giveBack ends the use of what was encoded there.
func (s *scratches) giveBack(one *scratch) {
	if cap(one.b) <= maxScratch {
		one.b = one.b[:0]
		s.pool.Put(one)
	}
}

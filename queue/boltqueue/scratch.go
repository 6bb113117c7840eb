package boltqueue

import "sync"

// maxScratch is the largest room that is kept for the next record, in octets.
const maxScratch = 64 << 10

// scratch is room to encode a record in. The journal keeps none of it once the
// record is appended.
type scratch struct{ head, events []byte }

// scratches are shared by all that write: several records a message are as much
// memory as the collector would have to do with.
type scratches struct{ pool sync.Pool }

func (s *scratches) take() *scratch {
	if one, ok := s.pool.Get().(*scratch); ok {
		return one
	}
	return &scratch{head: make([]byte, 0, 1024), events: make([]byte, 0, eventOctets)}
}

// giveBack ends the use of what was encoded there.
func (s *scratches) giveBack(one *scratch) {
	if cap(one.head)+cap(one.events) <= maxScratch {
		s.pool.Put(one)
	}
}

package hit

import "hash/maphash"

// Recipient is one address of one message.
type Recipient struct {
	Message [12]byte
	Index   uint32
}

// ways is how many places there are for one recipient to be at.
const ways = 8

// table keeps a value for each of the recipients that came last. It never
// grows: who comes takes the place of the one of eight that was there longest.
type table[V any] struct {
	seed  maphash.Seed
	slots []slot[V]
}

type slot[V any] struct {
	recipient Recipient
	// at orders the slots; zero for one that was never used.
	at    int64
	value V
}

// newTable makes a table of at least eight slots.
func newTable[V any](slots int) table[V] {
	return table[V]{maphash.MakeSeed(), make([]slot[V], max(slots/ways, 1)*ways)}
}

// places are those that a recipient may be at.
func (t *table[V]) places(r Recipient) []slot[V] {
	set := maphash.Comparable(t.seed, r) % uint64(len(t.slots)/ways)
	return t.slots[set*ways : (set+1)*ways]
}

// find returns nil for a recipient that is not, or no more, in the table.
func (t *table[V]) find(r Recipient) *slot[V] {
	places := t.places(r)
	for i := range places {
		if places[i].at != 0 && places[i].recipient == r {
			return &places[i]
		}
	}
	return nil
}

// claim returns the recipient's slot, an empty one if it had none.
func (t *table[V]) claim(r Recipient, at int64) *slot[V] {
	s := t.find(r)
	if s == nil {
		s = oldest(t.places(r))
		*s = slot[V]{recipient: r}
	}
	s.at = max(at, 1)
	return s
}

func oldest[V any](places []slot[V]) *slot[V] {
	found := &places[0]
	for i := range places {
		if places[i].at < found.at {
			found = &places[i]
		}
	}
	return found
}

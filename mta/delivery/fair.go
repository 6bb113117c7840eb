package delivery

// quantum is what one round gives to a weight of 1, in recipients.
const quantum = 8

// share is one contender of a ring.
type share struct {
	weight  int
	deficit int
}

// ring shares a capacity between contenders by weighted deficit round robin
// (Shreedhar and Varghese, 1995). What a contender takes is charged after it
// was picked, so that one can overdraw; it then waits until it has earned that
// back. It is not safe for concurrent use.
type ring[T any] struct {
	members []*member[T]
	cursor  int
}

type member[T any] struct {
	share
	value T
}

func (r *ring[T]) add(weight int, value T) *member[T] {
	m := &member[T]{share: share{weight: max(weight, 1)}, value: value}
	r.members = append(r.members, m)
	return m
}

func (r *ring[T]) remove(m *member[T]) {
	for i, other := range r.members {
		if other != m {
			continue
		}
		r.members = append(r.members[:i], r.members[i+1:]...)
		if r.cursor > i {
			r.cursor--
		}
		return
	}
}

// pick returns the member whose turn it is among those that can use it; nil
// where none can. A member keeps its turn until its deficit is used up.
func (r *ring[T]) pick(usable func(T) bool) *member[T] {
	for idle := 0; idle < len(r.members); {
		if r.cursor >= len(r.members) {
			r.cursor = 0
		}
		m := r.members[r.cursor]
		switch {
		case !usable(m.value):
			idle++
		case m.deficit > 0:
			return m
		default:
			m.deficit += m.weight * quantum
			if m.deficit > 0 {
				return m
			}
			idle = 0
		}
		r.cursor++
	}
	return nil
}

// charge takes cost off what m may have.
func (r *ring[T]) charge(m *member[T], cost int) {
	m.deficit -= cost
	if m.deficit <= 0 && r.cursor < len(r.members) && r.members[r.cursor] == m {
		r.cursor++
	}
}

package delivery

import "slices"

// quantum is what one round gives to a weight of 1, in recipients.
const quantum = 8

// contender is what shares a capacity. It is known by its name when it comes
// back.
type contender interface{ contends() flowKey }

func (f *flow) contends() flowKey { return f.key }

// share is what one contender has of a ring.
type share struct {
	weight  int
	deficit int
	// turn is the round in which it last had its turn.
	turn int
}

func (s *share) grant() int { return s.weight * quantum }

// ring shares a capacity between contenders by weighted deficit round robin
// (Shreedhar and Varghese, 1995). What a contender takes is charged after it
// was picked, so that one can overdraw; it then waits until it has earned that
// back.
//
// Whoever comes new is next, and interrupts a turn: the first message of one
// tenant does not wait for what another has been granted. To leave and come
// back gains nothing by that: a turn goes on where it was left, one that was
// used up counts for the round, and debts remain. A ring is not safe for
// concurrent use.
type ring[T contender] struct {
	members []*member[T]
	cursor  int
	// fresh have not taken anything since they came; the first is next.
	fresh []*member[T]
	// round counts the times that the cursor came around; served: somebody had
	// a turn since.
	round  int
	served bool
	// absent are the shares of those who left in this round, or in debt.
	absent map[flowKey]share
}

type member[T contender] struct {
	share
	value T
}

func (r *ring[T]) add(weight int, value T) *member[T] {
	m := &member[T]{share: share{weight: max(weight, 1), turn: -1}, value: value}
	before, known := r.absent[value.contends()]
	if known {
		delete(r.absent, value.contends())
		m.deficit, m.turn = before.deficit, before.turn
	}
	if known && m.turn == r.round && m.deficit <= 0 {
		r.insert(m) // it had its turn: all others come before it
		r.cursor++
	} else {
		r.fresh = append(r.fresh, m)
	}
	return m
}

// insert puts m where the cursor is.
func (r *ring[T]) insert(m *member[T]) {
	r.cursor = min(r.cursor, len(r.members))
	r.members = slices.Insert(r.members, r.cursor, m)
}

func (r *ring[T]) remove(m *member[T]) {
	r.keep(m)
	if i := slices.Index(r.fresh, m); i >= 0 {
		r.fresh = slices.Delete(r.fresh, i, i+1)
		return
	}
	i := slices.Index(r.members, m)
	if i < 0 {
		return
	}
	r.members = slices.Delete(r.members, i, i+1)
	if r.cursor > i {
		r.cursor--
	}
}

// keep remembers a share that is not as one who comes new has it.
func (r *ring[T]) keep(m *member[T]) {
	if m.turn < r.round {
		m.deficit = min(m.deficit, 0)
		if m.deficit == 0 {
			return
		}
	}
	if r.absent == nil {
		r.absent = map[flowKey]share{}
	}
	r.absent[m.value.contends()] = m.share
}

// pick returns the member whose turn it is among those that can use it; nil
// where none can. A member keeps its turn until its deficit is used up.
func (r *ring[T]) pick(usable func(T) bool) *member[T] {
	if m := r.welcome(usable); m != nil {
		return m
	}
	for idle := 0; idle < len(r.members); {
		if r.cursor >= len(r.members) {
			r.cursor = 0
			r.turnOver()
		}
		m := r.members[r.cursor]
		switch {
		case !usable(m.value):
			idle++
		case r.turn(m):
			return m
		default:
			idle = 0
		}
		r.cursor++
	}
	return nil
}

// turn gives m what a turn brings if it has nothing left, and reports whether it
// may take anything.
func (r *ring[T]) turn(m *member[T]) bool {
	if m.deficit <= 0 {
		m.deficit += m.grant()
	}
	m.turn, r.served = r.round, true
	return m.deficit > 0
}

// welcome returns the first new member that can use a turn; nil for none. It
// stays new until it has taken something: it may have to be fetched first.
func (r *ring[T]) welcome(usable func(T) bool) *member[T] {
	for i := 0; i < len(r.fresh); {
		m := r.fresh[i]
		switch {
		case !usable(m.value):
			i++
		case r.turn(m):
			return m
		default: // in debt
			r.settle(m)
			r.cursor++
		}
	}
	return nil
}

// settle lets a new member take its place, where the cursor is.
func (r *ring[T]) settle(m *member[T]) {
	if i := slices.Index(r.fresh, m); i >= 0 {
		r.fresh = slices.Delete(r.fresh, i, i+1)
		r.insert(m)
	}
}

// turnOver begins a round. Those who were not there for all of the last one
// lose what they left of their turn, and earn some of their debt back.
func (r *ring[T]) turnOver() {
	if !r.served {
		return
	}
	for name, s := range r.absent {
		if s.turn < r.round {
			s.deficit += s.grant()
		}
		if s.deficit >= 0 {
			delete(r.absent, name)
		} else {
			r.absent[name] = s
		}
	}
	r.round++
	r.served = false
}

// charge takes cost off what m may have.
func (r *ring[T]) charge(m *member[T], cost int) {
	r.settle(m)
	m.deficit -= cost
	if m.deficit <= 0 && r.cursor < len(r.members) && r.members[r.cursor] == m {
		r.cursor++
	}
}

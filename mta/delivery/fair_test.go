package delivery

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// runner is a contender that counts what it took.
type runner struct {
	name  int
	idle  bool
	taken int
}

func (r *runner) contends() flowKey { return flowKey{tenant: strconv.Itoa(r.name)} }

func usable(r *runner) bool { return !r.idle }

func TestRingSharesByWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 8), 2, 6).Draw(t, "weights")
		most := rapid.IntRange(1, 100).Draw(t, "largest batch")
		cost := rapid.IntRange(1, most)
		var r ring[*runner]
		runners := make([]*runner, len(weights))
		for i, w := range weights {
			runners[i] = &runner{name: i}
			r.add(w, runners[i])
		}
		for range 500 {
			m := r.pick(usable)
			n := cost.Draw(t, "cost")
			r.charge(m, n)
			m.value.taken += n
		}
		wantShares(t, runners, weights, most)
	})
}

// wantShares wants each to have had as many rounds as the others, but for one
// round and what one batch may overdraw.
func wantShares(t *rapid.T, runners []*runner, weights []int, most int) {
	for i, a := range runners {
		for j, b := range runners {
			x, y := float64(a.taken)/float64(weights[i]), float64(b.taken)/float64(weights[j])
			slack := 2*quantum + float64(most)/float64(weights[i]) + float64(most)/float64(weights[j])
			if x-y > slack {
				t.Fatalf("weights %d and %d took %d and %d", weights[i], weights[j], a.taken, b.taken)
			}
		}
	}
}

// Whoever comes new is next, behind those who came new before.
func TestRingWelcomesTheNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring[*runner]
		for i := range rapid.IntRange(1, 6).Draw(t, "old") {
			r.add(rapid.IntRange(1, 1000).Draw(t, "weight"), &runner{name: i})
		}
		for range rapid.IntRange(6, 300).Draw(t, "picks") { // enough that none of the old is new
			r.charge(r.pick(usable), rapid.IntRange(1, 50).Draw(t, "cost"))
		}
		coming := rapid.IntRange(1, 4).Draw(t, "new")
		for i := range coming {
			r.add(1, &runner{name: 100 + i})
		}
		for i := range coming {
			m := r.pick(usable)
			if m.value.name != 100+i {
				t.Fatalf("%d is next, want the new %d", m.value.name, 100+i)
			}
			r.charge(m, quantum)
		}
	})
}

// To leave after each message and to come back for the next gains nothing,
// however large the messages are.
func TestRingIsNotOutwittedByLeaving(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 8), 2, 5).Draw(t, "weights")
		most := rapid.IntRange(1, 100).Draw(t, "largest batch")
		cost := rapid.IntRange(1, most)
		var r ring[*runner]
		runners := make([]*runner, len(weights))
		for i, w := range weights {
			runners[i] = &runner{name: i}
			r.add(w, runners[i])
		}
		leavers := rapid.IntRange(1, len(weights)-1).Draw(t, "leavers")
		for range 500 {
			m := r.pick(usable)
			n := cost.Draw(t, "cost")
			r.charge(m, n)
			m.value.taken += n
			if m.value.name < leavers {
				r.remove(m)
				r.add(weights[m.value.name], m.value)
			}
		}
		for i := range leavers {
			for j := leavers; j < len(weights); j++ {
				x, y := float64(runners[i].taken)/float64(weights[i]), float64(runners[j].taken)/float64(weights[j])
				slack := 2*quantum + float64(most)/float64(weights[i]) + float64(most)/float64(weights[j])
				if x-y > slack {
					t.Fatalf("weights %v: one of %d left and came back, and took %d; one of %d stayed, and took %d",
						weights, weights[i], runners[i].taken, weights[j], runners[j].taken)
				}
			}
		}
	})
}

func TestRingPassesOverTheIdle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring[*runner]
		var members []*member[*runner]
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				if next < 8 {
					members = append(members, r.add(rapid.IntRange(0, 5).Draw(t, "weight"), &runner{name: next}))
					next++
				}
			},
			"leave and come back": func(t *rapid.T) {
				if len(members) == 0 {
					t.Skip("empty")
				}
				i := rapid.IntRange(0, len(members)-1).Draw(t, "which")
				r.remove(members[i])
				members[i] = r.add(members[i].weight, members[i].value)
			},
			"flip": func(t *rapid.T) {
				if len(members) == 0 {
					t.Skip("empty")
				}
				m := rapid.SampledFrom(members).Draw(t, "who")
				m.value.idle = !m.value.idle
			},
			"pick": func(t *rapid.T) {
				any := false
				for _, m := range members {
					any = any || usable(m.value)
				}
				m := r.pick(usable)
				if (m != nil) != any || m != nil && !usable(m.value) {
					t.Fatalf("picked %v", m)
				}
				if m != nil {
					r.charge(m, rapid.IntRange(1, 500).Draw(t, "cost"))
				}
			},
			"": func(t *rapid.T) {
				if n := len(r.members) + len(r.fresh); n != len(members) {
					t.Fatalf("%d members, want %d", n, len(members))
				}
			},
		})
	})
}

// The ring forgets those who left, once rounds have passed.
func TestRingForgets(t *testing.T) {
	var r ring[*runner]
	r.add(1, &runner{name: 0})
	for i := 1; i < 1000; i++ {
		m := r.add(1, &runner{name: i})
		r.charge(r.pick(usable), 3*quantum)
		r.remove(m)
	}
	for range 10 {
		r.charge(r.pick(usable), quantum)
	}
	if len(r.absent) > 0 {
		t.Errorf("%d are remembered", len(r.absent))
	}
}

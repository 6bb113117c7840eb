package delivery

import (
	"testing"

	"pgregory.net/rapid"
)

func TestRingSharesByWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 8), 2, 6).Draw(t, "weights")
		cost := rapid.IntRange(1, 100)
		var r ring[int]
		members := make([]*member[int], len(weights))
		for i, w := range weights {
			members[i] = r.add(w, i)
		}
		taken := make([]int, len(weights))
		total := 0
		for total < 100_000 {
			m := r.pick(func(int) bool { return true })
			n := cost.Draw(t, "cost")
			r.charge(m, n)
			taken[m.value] += n
			total += n
			if len(taken) > 0 && total > 20_000 {
				break
			}
		}
		sum := 0
		for _, w := range weights {
			sum += w
		}
		for i, w := range weights {
			fair := float64(total) * float64(w) / float64(sum)
			// one round, and what one batch may overdraw
			slack := float64(w*quantum + 2*100 + 8*quantum)
			if got := float64(taken[i]); got < fair-slack*float64(len(weights)) || got > fair+slack*float64(len(weights)) {
				t.Fatalf("weights %v: %v taken of %d", weights, taken, total)
			}
		}
	})
}

func TestRingPassesOverTheIdle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring[int]
		var members []*member[int]
		usable := map[int]bool{}
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				members = append(members, r.add(rapid.IntRange(0, 5).Draw(t, "weight"), next))
				next++
			},
			"remove": func(t *rapid.T) {
				if len(members) == 0 {
					t.Skip("empty")
				}
				i := rapid.IntRange(0, len(members)-1).Draw(t, "which")
				r.remove(members[i])
				members = append(members[:i], members[i+1:]...)
			},
			"flip": func(t *rapid.T) {
				i := rapid.IntRange(0, next).Draw(t, "who")
				usable[i] = !usable[i]
			},
			"pick": func(t *rapid.T) {
				any := false
				for _, m := range members {
					any = any || usable[m.value]
				}
				m := r.pick(func(v int) bool { return usable[v] })
				if (m != nil) != any || m != nil && !usable[m.value] {
					t.Fatalf("picked %v", m)
				}
				if m != nil {
					r.charge(m, rapid.IntRange(1, 500).Draw(t, "cost"))
				}
			},
		})
	})
}

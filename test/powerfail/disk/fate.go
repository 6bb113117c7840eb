package disk

import (
	"fmt"
	"math/rand/v2"
)

// Fate decides what became of the pending steps, which are counted from 0.
type Fate struct {
	// Name says which fate it is.
	Name string
	// Happened: step i, which is no write, was done.
	Happened func(i int) bool
	// Sector: the sector, counted from the write's first, of write i is on
	// disk.
	Sector func(i, sector int) bool
	// Grown: the file is as long as write i wanted it, whatever of its content
	// is on disk.
	Grown func(i int) bool
	// Stale: what a file grew by and was not written shows the content of a
	// file removed before, not zeros.
	Stale bool
}

// ofSteps is a fate in which each step was done or was not.
func ofSteps(name string, done func(i int) bool) Fate {
	return Fate{Name: name, Happened: done, Sector: func(i, _ int) bool { return done(i) }, Grown: done}
}

// Nothing that is pending was done.
func Nothing() Fate { return ofSteps("nothing", func(int) bool { return false }) }

// All that is pending was done.
func All() Fate { return ofSteps("all", func(int) bool { return true }) }

// First n pending steps were done.
func First(n int) Fate {
	return ofSteps(fmt.Sprintf("first %d", n), func(i int) bool { return i < n })
}

// Without one pending step all were done.
func Without(n int) Fate {
	return ofSteps(fmt.Sprintf("without %d", n), func(i int) bool { return i != n })
}

// Only one pending step was done.
func Only(n int) Fate {
	return ofSteps(fmt.Sprintf("only %d", n), func(i int) bool { return i == n })
}

// Torn is First(n) and the first so many sectors of the write behind it. The
// file is long enough for the whole of it if grown.
func Torn(n, sectors int, grown bool) Fate {
	f := First(n)
	f.Name = fmt.Sprintf("torn %d after %d sectors, grown %t", n, sectors, grown)
	f.Sector = func(i, sector int) bool { return i < n || i == n && sector < sectors }
	f.Grown = func(i int) bool { return i < n || i == n && grown }
	return f
}

// Lengths grew, and names changed, and no content was written.
func Lengths() Fate {
	f := All()
	f.Name = "lengths"
	f.Sector = func(int, int) bool { return false }
	return f
}

// Random keeps each step with a probability, and tears writes in units of
// sectors, one or eight. The same seed makes the same choices.
func Random(seed uint64) Fate {
	r := rand.New(rand.NewPCG(seed, 1))
	share, torn := []float64{0.1, 0.5, 0.9}[r.IntN(3)], []float64{0, 0.3, 1}[r.IntN(3)]
	unit := []int{1, 8}[r.IntN(2)]
	chance := func(n uint64, words ...int) float64 {
		for _, w := range words {
			n = n*0x9e3779b97f4a7c15 + uint64(w) + 1
		}
		return rand.New(rand.NewPCG(seed, n)).Float64()
	}
	return Fate{
		Name:     fmt.Sprintf("random %d", seed),
		Happened: func(i int) bool { return chance(2, i) < share },
		Sector: func(i, sector int) bool {
			if chance(3, i) < torn {
				return chance(4, i, sector/unit) < share
			}
			return chance(5, i) < share
		},
		Grown: func(i int) bool { return chance(6, i) < share },
		Stale: r.IntN(8) == 0,
	}
}

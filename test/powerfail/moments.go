package powerfail

import (
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/postrider-mta/postrider/test/powerfail/disk"
)

// fatesAtMoment is how many disks are made of one moment.
const fatesAtMoment = 6

// opening is about how many steps the creation of a store takes.
const opening = 50

// chooseMoments returns numbers of steps before which the power fails, in
// order: all at the very beginning where a sync is about to end, then most where
// a sync is about to end or the worker has just announced a success, the others
// anywhere.
func chooseMoments(steps []disk.Step, count int, r *rand.Rand) []int {
	var telling []int
	chosen := map[int]bool{len(steps): true}
	for i, s := range steps {
		sync := s.Action == disk.Done && steps[s.Offset].Action == disk.Sync
		if sync || i > 0 && steps[i-1].Action == disk.Note {
			telling = append(telling, i)
		}
		if sync && i < opening {
			chosen[i] = true
		}
	}
	count = min(count, len(steps))
	for tries := 0; len(chosen) < count && tries < 20*count; tries++ {
		if len(telling) > 0 && r.IntN(3) > 0 {
			chosen[telling[r.IntN(len(telling))]] = true
			continue
		}
		chosen[r.IntN(len(steps)+1)] = true
	}
	return slices.Sorted(maps.Keys(chosen))
}

// chooseFates returns what may have become of what is pending: a systematic
// choice and a random one, without those that are the same.
func chooseFates(m *disk.Model, count int, r *rand.Rand) []disk.Fate {
	n := m.Pending()
	if n == 0 {
		return []disk.Fate{disk.Nothing()}
	}
	fates := []disk.Fate{disk.Nothing(), disk.All(), disk.Lengths()}
	systematic := []func() disk.Fate{
		func() disk.Fate { return disk.First(r.IntN(n)) },
		func() disk.Fate { return disk.Without(r.IntN(n)) },
		func() disk.Fate { return disk.Only(r.IntN(n)) },
		func() disk.Fate {
			i := r.IntN(n)
			return disk.Torn(i, r.IntN(m.Sectors(i)+1), r.IntN(2) == 0)
		},
	}
	for len(fates) < count {
		if r.IntN(2) == 0 {
			fates = append(fates, systematic[r.IntN(len(systematic))]())
			continue
		}
		fates = append(fates, disk.Random(r.Uint64()))
	}
	return fates[:min(count, len(fates))]
}

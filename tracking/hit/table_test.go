package hit

import (
	"testing"

	"pgregory.net/rapid"
)

// TestTableIsBounded proves, against a map, that a table has the values it was
// given or none, that it never grows, and that the last recipient is in it.
func TestTableIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 64).Draw(t, "slots")
		table := newTable[uint32](slots)
		size := len(table.slots)
		if size > max(slots, ways) || size%ways != 0 {
			t.Fatalf("%d slots for %d", size, slots)
		}
		model := map[Recipient]uint32{}
		for i := range rapid.IntRange(0, 500).Draw(t, "steps") {
			r := recipient(rapid.Uint32Range(0, 200).Draw(t, "recipient"))
			table.claim(r, int64(i)).value = uint32(i)
			model[r] = uint32(i)
			if s := table.find(r); s == nil || s.value != uint32(i) {
				t.Fatalf("step %d: the last one is not there", i)
			}
		}
		held := 0
		for r, want := range model {
			if s := table.find(r); s != nil {
				held++
				if s.value != want || s.recipient != r {
					t.Fatalf("%v has %d, want %d", r, s.value, want)
				}
			}
		}
		if len(table.slots) != size || held > size {
			t.Fatalf("%d held in %d slots", held, len(table.slots))
		}
	})
}

// TestOldestIsOverwritten proves that who comes takes the oldest one's place.
func TestOldestIsOverwritten(t *testing.T) {
	table := newTable[struct{}](ways)
	for n := range uint32(ways) {
		table.claim(recipient(n), int64(10+n))
	}
	table.claim(recipient(0), 100)
	table.claim(recipient(99), 101)
	if table.find(recipient(1)) != nil || table.find(recipient(0)) == nil || table.find(recipient(99)) == nil {
		t.Error("another than the oldest is gone")
	}
}

// TestClassifierDoesNotGrow proves that work on what is new allocates nothing.
func TestClassifierDoesNotGrow(t *testing.T) {
	c := New(Options{})
	hits := make([]Hit, 100)
	deliveries := make([]Delivery, 100)
	n := uint32(0)
	allocations := testing.AllocsPerRun(200, func() {
		for i := range hits {
			n++
			hits[i] = Hit{Kind: Click, Recipient: recipient(n), Time: at(int(n))}
			deliveries[i] = Delivery{recipient(n), at(int(n))}
		}
		c.Delivered(deliveries)
		c.Sift(hits)
	})
	if allocations > 0 {
		t.Errorf("%v allocations for 100 hits", allocations)
	}
}

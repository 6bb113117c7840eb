package stats

import (
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

func sortedMarks(marks []mark) []mark {
	slices.SortFunc(marks, compareMarks)
	return slices.Compact(marks)
}

// checkAdd adds marks and compares what was new, and then all that there is.
func checkAdd(r *rapid.T, s *Store, added []mark, known map[mark]bool) {
	err := s.update(func(t *transaction) error {
		fresh, err := blocks{t.bucket(marksBucket)}.add(added)
		for i, m := range added {
			if fresh[i] == known[m] {
				r.Fatalf("mark %x: new %t, known %t", m, fresh[i], known[m])
			}
			known[m] = true
		}
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	var all []mark
	err = s.view(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(marksBucket)).ForEach(func(k, v []byte) error {
			marks, err := readBlock(v)
			if len(v) > blockOctets || len(marks) == 0 || string(k) != string(marks[0][:]) {
				r.Fatalf("a block of %d octets with %d marks", len(v), len(marks))
			}
			all = append(all, marks...)
			return err
		})
	})
	if err != nil {
		r.Fatal(err)
	}
	if !slices.IsSortedFunc(all, compareMarks) || len(all) != len(known) {
		r.Fatalf("%d marks, want %d", len(all), len(known))
	}
	for _, m := range all {
		if !known[m] {
			r.Fatalf("mark %x was not added", m)
		}
	}
}

func FuzzReadBlock(f *testing.F) {
	f.Add(appendBlock(nil, []mark{{1, 2}, {1, 3}, {1, 3, 17: 4}}))
	f.Add([]byte{sameKind, 0x80})
	f.Add([]byte{12, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		marks, err := readBlock(b)
		if err != nil {
			return
		}
		again, err := readBlock(appendBlock(nil, marks))
		if slices.IsSortedFunc(marks, compareMarks) && (err != nil || !slices.Equal(again, marks)) {
			t.Errorf("%x became %x, %v", marks, again, err)
		}
	})
}

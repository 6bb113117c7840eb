package disk

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// play gives steps to a new disk, each ended at once.
func play(t testing.TB, begin Image, steps ...Step) *Model {
	t.Helper()
	m := NewModel(begin)
	for _, s := range steps {
		apply(t, m, s)
	}
	return m
}

func apply(t testing.TB, m *Model, s Step) {
	t.Helper()
	number := m.count
	for _, s := range []Step{s, {Action: Done, Offset: int64(number)}} {
		if err := m.Apply(s); err != nil {
			t.Fatal(err)
		}
	}
}

func named(i Image) string { return strings.Join(slices.Sorted(maps.Keys(i)), " ") }

func create(name string, child Inode) Step {
	return Step{Action: Enter, Inode: Root, Name: name, Child: child}
}

func TestFileIsDurableWithItsName(t *testing.T) {
	m := play(t, nil, create("a", 2), Step{Action: Write, Inode: 2, Data: []byte("hello")})
	if got := named(m.Fail(Nothing())); got != "" {
		t.Errorf("before all syncs there is %q", got)
	}
	apply(t, m, Step{Action: Sync, Inode: 2})
	if got := named(m.Fail(Nothing())); got != "" {
		t.Errorf("a synced file has no name yet, but there is %q", got)
	}
	if got := m.Fail(All())["a"].Whole(); string(got) != "hello" {
		t.Errorf("synced content is %q", got)
	}
	apply(t, m, Step{Action: Sync, Inode: Root})
	if got := m.Fail(Nothing())["a"].Whole(); string(got) != "hello" {
		t.Errorf("durable content is %q", got)
	}
	if m.Pending() != 0 {
		t.Errorf("%d steps pending", m.Pending())
	}
}

func TestNameWithoutContent(t *testing.T) {
	m := play(t, nil, create("a", 2), Step{Action: Sync, Inode: Root}, Step{Action: Write, Inode: 2, Data: []byte("hello")})
	if file, ok := m.Fail(Nothing())["a"]; !ok || len(file.Whole()) != 0 {
		t.Errorf("file is %v, %q", ok, file.Whole())
	}
	if got := m.Fail(Lengths())["a"].Whole(); !bytes.Equal(got, make([]byte, 5)) {
		t.Errorf("grown file is %q", got)
	}
}

// TestFileUsedAgain gives a file a new name and writes over its beginning, as a
// journal does that uses its segments again. What a write did belongs to the
// file, whatever its name is by then.
func TestFileUsedAgain(t *testing.T) {
	begin := Image{"1": {Data: bytes.Repeat([]byte("o"), 2*SectorSize)}}
	header := bytes.Repeat([]byte("n"), SectorSize)
	steps := []Step{
		{Action: Move, Inode: Root, Name: "spare", Child: 2, OldInode: Root, OldName: "1"},
		{Action: Write, Inode: 2, Data: header},
		{Action: Move, Inode: Root, Name: "3", Child: 2, OldInode: Root, OldName: "spare"},
	}
	content := func(i Image) string {
		var b strings.Builder
		for _, name := range i.order() {
			fmt.Fprintf(&b, "%s=%c%c", name, i[name].Data[0], i[name].Data[SectorSize])
		}
		return b.String()
	}
	m := play(t, begin, steps...)
	for _, tc := range []struct {
		fate Fate
		want string
	}{
		{Nothing(), "1=oo"},
		{First(1), "spare=oo"},
		{First(2), "spare=no"},
		{All(), "3=no"},
		{Only(1), "1=no"},
		{Without(1), "3=oo"},
		{Only(2), "3=oo"}, // a file has one name
		{Without(0), "3=no"},
		{Lengths(), "3=oo"},
	} {
		if got := content(m.Fail(tc.fate)); got != tc.want {
			t.Errorf("%s: %s instead of %s", tc.fate.Name, got, tc.want)
		}
	}
	apply(t, m, Step{Action: Sync, Inode: 2})
	if got := content(m.Fail(Nothing())); got != "1=no" {
		t.Errorf("synced content under its durable name: %s", got)
	}
	apply(t, m, Step{Action: Sync, Inode: Root})
	if got := content(m.Fail(Nothing())); got != "3=no" || m.Pending() != 0 {
		t.Errorf("all is synced: %s, %d pending", got, m.Pending())
	}
}

// TestSyncCoversWhatEnded holds that a sync promises only what had ended when
// it began, and only when it ends.
func TestSyncCoversWhatEnded(t *testing.T) {
	m := play(t, Image{"a": {}})
	for _, s := range []Step{
		{Action: Write, Inode: 2, Data: []byte("one")},              // 0
		{Action: Write, Inode: 2, Offset: 3, Data: []byte("two")},   // 1
		{Action: Done, Offset: 0},                                   // 2
		{Action: Sync, Inode: 2},                                    // 3
		{Action: Done, Offset: 1},                                   // 4
		{Action: Write, Inode: 2, Offset: 6, Data: []byte("three")}, // 5
		{Action: Done, Offset: 5},                                   // 6
	} {
		if err := m.Apply(s); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.Fail(Nothing())["a"].Whole(); len(got) != 0 {
		t.Errorf("a sync under way made %q durable", got)
	}
	if err := m.Apply(Step{Action: Done, Offset: 3}); err != nil {
		t.Fatal(err)
	}
	if got := m.Fail(Nothing())["a"].Whole(); string(got) != "one" {
		t.Errorf("durable is %q", got)
	}
	if m.Pending() != 2 {
		t.Errorf("%d steps pending", m.Pending())
	}
}

func TestTornWrite(t *testing.T) {
	old := bytes.Repeat([]byte("o"), 100)
	data := bytes.Repeat([]byte("n"), 3*SectorSize)
	m := play(t, Image{"a": {Data: old}}, Step{Action: Write, Inode: 2, Offset: 100, Data: data})
	if n := m.Sectors(0); n != 4 {
		t.Fatalf("%d sectors", n)
	}
	got := m.Fail(Torn(0, 2, false))["a"].Whole()
	want := append(slices.Clone(old), data[:2*SectorSize-100]...)
	if !bytes.Equal(got, want) {
		t.Errorf("torn after 2 sectors: %d octets instead of %d", len(got), len(want))
	}
	got = m.Fail(Torn(0, 2, true))["a"].Whole()
	want = append(want, make([]byte, 3*SectorSize+100-len(want))...)
	if !bytes.Equal(got, want) {
		t.Errorf("torn and grown: %d octets instead of %d", len(got), len(want))
	}
	if got := m.Fail(Nothing())["a"].Whole(); !bytes.Equal(got, old) {
		t.Errorf("nothing: %q", got)
	}
}

func TestMissingSectorBetween(t *testing.T) {
	data := bytes.Repeat([]byte("n"), 3*SectorSize)
	m := play(t, Image{"a": {}}, Step{Action: Write, Inode: 2, Data: data})
	f := All()
	f.Sector = func(_, sector int) bool { return sector != 1 }
	got := m.Fail(f)["a"].Whole()
	copy(data[SectorSize:], make([]byte, SectorSize))
	if !bytes.Equal(got, data) {
		t.Error("the hole is not where it should be")
	}
}

func TestRenameIsWhole(t *testing.T) {
	begin := Image{"a": {Data: []byte("old")}}
	m := play(t, begin, create("a.new", 3), Step{Action: Write, Inode: 3, Data: []byte("new")}, Step{Action: Sync, Inode: 3},
		Step{Action: Move, Inode: Root, Name: "a", Child: 3, OldInode: Root, OldName: "a.new"})
	for fate, want := range map[string]struct{ names, data string }{
		"nothing":   {"a", "old"},
		"all":       {"a", "new"},
		"first 1":   {"a a.new", "old"},
		"without 0": {"a", "new"},
	} {
		fates := map[string]Fate{"nothing": Nothing(), "all": All(), "first 1": First(1), "without 0": Without(0)}
		got := m.Fail(fates[fate])
		if named(got) != want.names || string(got["a"].Whole()) != want.data {
			t.Errorf("%s: %s with %q", fate, named(got), got["a"].Whole())
		}
	}
	apply(t, m, Step{Action: Sync, Inode: Root})
	if got := m.Fail(Nothing()); named(got) != "a" || string(got["a"].Whole()) != "new" {
		t.Errorf("durable: %s with %q", named(got), got["a"].Whole())
	}
}

// TestMoveCarriesItsPast holds that a file moved to another directory, which was
// then synced, does not come back under its old name.
func TestMoveCarriesItsPast(t *testing.T) {
	begin := Image{"d": {Kind: Directory}, "e": {Kind: Directory}}
	m := play(t, begin, Step{Action: Enter, Inode: 2, Name: "a", Child: 4},
		Step{Action: Move, Inode: 3, Name: "b", Child: 4, OldInode: 2, OldName: "a"}, Step{Action: Sync, Inode: 3})
	for _, fate := range []Fate{Nothing(), All()} {
		if got := named(m.Fail(fate)); got != "d e e/b" {
			t.Errorf("%s: %q", fate.Name, got)
		}
	}
}

func TestRemovedComesBack(t *testing.T) {
	m := play(t, Image{"d": {Kind: Directory}, "d/a": {Data: []byte("x")}}, Step{Action: Leave, Inode: 2, Name: "a"})
	if got := named(m.Fail(Nothing())); got != "d d/a" {
		t.Errorf("not synced: %q", got)
	}
	if got := named(m.Fail(All())); got != "d" {
		t.Errorf("done: %q", got)
	}
	apply(t, m, Step{Action: Sync, Inode: 2})
	if got := named(m.Fail(Nothing())); got != "d" {
		t.Errorf("synced: %q", got)
	}
}

// TestStale holds that only what a write left out shows what was removed.
func TestStale(t *testing.T) {
	m := play(t, Image{"old": {Data: bytes.Repeat([]byte("s"), 2000)}, "new": {}},
		Step{Action: Leave, Inode: Root, Name: "old"}, Step{Action: Sync, Inode: Root},
		Step{Action: Write, Inode: 2, Data: make([]byte, 600)})
	f := Lengths()
	if got := m.Fail(f)["new"].Whole(); !bytes.Equal(got, make([]byte, 600)) {
		t.Errorf("grown by %q", got)
	}
	f.Stale = true
	if got := m.Fail(f)["new"].Whole(); !bytes.Equal(got, bytes.Repeat([]byte("s"), 600)) {
		t.Errorf("grown by %q", got)
	}
}

// TestFailuresLeaveTheModelAlone plays random steps: whatever fates are asked
// for between, the disk with everything done is what a program sees, and a disk
// with nothing done holds every synced octet.
func TestFailuresLeaveTheModelAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewModel(Image{"a": {}, "b": {Data: []byte("begin")}})
		seen := map[Inode][]byte{2: nil, 3: []byte("begin")}
		synced := map[Inode][]byte{2: nil, 3: []byte("begin")}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			inode := Inode(rapid.IntRange(2, 3).Draw(t, "inode"))
			offset := rapid.Int64Range(0, 3000).Draw(t, "offset")
			var s Step
			switch rapid.IntRange(0, 3).Draw(t, "action") {
			case 0:
				s = Step{Action: Sync, Inode: inode}
				synced[inode] = slices.Clone(seen[inode])
			case 1:
				s = Step{Action: Resize, Inode: inode, Offset: offset}
				seen[inode] = resized(seen[inode], int(offset))
			default:
				data := rapid.SliceOfN(rapid.Byte(), 1, 1500).Draw(t, "data")
				s = Step{Action: Write, Inode: inode, Offset: offset, Data: data}
				seen[inode] = resized(seen[inode], max(len(seen[inode]), int(offset)+len(data)))
				copy(seen[inode][offset:], data)
			}
			number := m.count
			_ = m.Apply(s)
			_ = m.Apply(Step{Action: Done, Offset: int64(number)})
			m.Fail(Random(rapid.Uint64().Draw(t, "seed")))
			all, none := m.Fail(All()), m.Fail(Nothing())
			for name, inode := range map[string]Inode{"a": 2, "b": 3} {
				if !bytes.Equal(all[name].Whole(), seen[inode]) {
					t.Fatalf("%s is not what was written", name)
				}
				if !bytes.Equal(none[name].Whole(), synced[inode]) {
					t.Fatalf("%s is not what was synced", name)
				}
			}
		}
	})
}

func resized(b []byte, size int) []byte {
	c := make([]byte, size)
	copy(c, b)
	return c
}

func TestRandomIsRepeatable(t *testing.T) {
	steps := []Step{create("a", 2)}
	for n := range 20 {
		steps = append(steps, Step{Action: Write, Inode: 2, Offset: int64(n * 700), Data: bytes.Repeat([]byte{byte(n + 1)}, 700)})
	}
	m := play(t, Image{}, steps...)
	kinds := map[string]bool{}
	for seed := range uint64(40) {
		a, b := m.Fail(Random(seed))["a"].Whole(), m.Fail(Random(seed))["a"].Whole()
		if !bytes.Equal(a, b) {
			t.Fatalf("seed %d makes two disks", seed)
		}
		kinds[string(a)] = true
	}
	if len(kinds) < 15 {
		t.Errorf("40 seeds make only %d disks", len(kinds))
	}
}

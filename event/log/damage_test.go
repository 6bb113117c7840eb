package log

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// Each way of ruining the file of the second day of three.
func ruins() map[string]func(*testing.T, string) {
	resize := func(size int64) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "2026-03-02.db"), size); err != nil {
				t.Fatal(err)
			}
		}
	}
	overwrite := func(from int64) func(*testing.T, string) {
		return func(t *testing.T, dir string) { damage(t, dir, "2026-03-02.db", from) }
	}
	return map[string]func(*testing.T, string){
		"empty":         resize(0),
		"one page":      resize(4096),
		"cut":           resize(4 * 4096),
		"all of it":     overwrite(0),
		"all but metas": overwrite(2 * 4096),
		"no buckets": func(t *testing.T, dir string) {
			path := filepath.Join(dir, "2026-03-02.db")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			db, err := bolt.Open(path, 0o600, nil)
			if err == nil {
				err = db.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	}
}

func TestDamagedDayIsSetAside(t *testing.T) {
	for name, ruin := range ruins() {
		t.Run(name, func(t *testing.T) {
			f := openTest(t, t.TempDir())
			fillThreeDays(t, f)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			ruin(t, f.dir)
			f = openTest(t, f.dir)
			if got := f.read(t, 0); len(got) != 5 {
				t.Errorf("%d records left, want 5", len(got))
			}
			want := []string{"2026-03-01.db", "2026-03-02.db.damaged", "2026-03-03.db"}
			if got := f.files(t); !slices.Equal(got, want) || f.Stats().DamagedFiles != 1 {
				t.Errorf("files %q, stats %+v", got, f.Stats())
			}
			if !strings.Contains(f.said.String(), "set aside") {
				t.Errorf("nothing was reported: %s", f.said)
			}
			checkUnseen(t, f)
		})
	}
}

// checkUnseen wants it said that a search saw less than all.
func checkUnseen(t *testing.T, f *fixture) {
	t.Helper()
	if n, err := f.Erase(t.Context(), subject(t, reader(1))); n != 3 || !errors.Is(err, ErrDamaged) {
		t.Errorf("erased %d, %v", n, err)
	}
	if n, err := f.Expire(t.Context(), noon(3)); n != 3 || err != nil {
		t.Errorf("expired %d, %v", n, err)
	}
	if got := f.files(t); !slices.Equal(got, []string{"2026-03-03.db"}) {
		t.Errorf("files after expiry %q", got)
	}
}

// The newest file is needed to begin with: the log falls back on the day
// before, whose position lets the journal tell the lost records again.
func TestDamagedNewestDay(t *testing.T) {
	f := openTest(t, t.TempDir())
	fillThreeDays(t, f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	damage(t, f.dir, "2026-03-03.db", 0)
	f = openTest(t, f.dir)
	if p, err := f.Position(); p != 4 || err != nil {
		t.Fatalf("position %d, %v", p, err)
	}
	f.append(t, click(5, 1, noon(3)), click(6, 2, noon(3)))
	if got := f.read(t, 0); len(got) != 6 {
		t.Errorf("%d records", len(got))
	}
	want := []string{"2026-03-01.db", "2026-03-02.db", "2026-03-03.db", "2026-03-03.db.damaged"}
	if got := f.files(t); !slices.Equal(got, want) {
		t.Errorf("files %q", got)
	}
}

func TestDamagedRecordIsSkipped(t *testing.T) {
	f := openTest(t, t.TempDir())
	fillThreeDays(t, f)
	d := f.shelf.list()[0]
	f.Close()
	db, err := bolt.Open(f.shelf.path(d.name, fileSuffix), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte(eventsBucket)).Put(key(2), []byte("{")) })
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	f = openTest(t, f.dir)
	if got := f.read(t, 0); len(got) != 5 || f.Stats().DamagedRecords == 0 {
		t.Errorf("read %d, stats %+v", len(got), f.Stats())
	}
	// A copy keeps it for whoever can make sense of it.
	if _, err := f.Erase(t.Context(), subject(t, reader(1))); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Read(t.Context(), 1, 1); err != nil || len(got) != 1 || got[0].Position != 3 {
		t.Errorf("read %+v, %v", got, err)
	}
}

func TestLeftoversOfACopyAreRemoved(t *testing.T) {
	dir := t.TempDir()
	f := openTest(t, dir)
	fillThreeDays(t, f)
	if err := os.WriteFile(filepath.Join(dir, "2026-03-02.db.new"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	f = f.reopen(t)
	if got := f.files(t); slices.Contains(got, "2026-03-02.db.new") || !slices.Contains(got, "notes.txt") || len(f.read(t, 0)) != 6 {
		t.Errorf("files %q", got)
	}
}

// Pages that change under an open log cost what they held, no more.
func TestDamagedWhileOpen(t *testing.T) {
	f := openTest(t, t.TempDir())
	fillThreeDays(t, f)
	damage(t, f.dir, "2026-03-03.db", 2*4096)
	f.append(t, click(7, 1, noon(3)))
	if got := f.read(t, 0); len(got) != 5 || got[4].Position != 7 || got[4].Event.Recipient != reader(1) {
		t.Errorf("read %+v", got)
	}
	damage(t, f.dir, "2026-03-03.db", 2*4096)
	if got := f.read(t, 0); len(got) != 4 {
		t.Errorf("read %+v", got)
	}
	f.append(t, accepted(8, 4, noon(3)))
	f = f.reopen(t)
	if got := f.read(t, 4); len(got) != 1 || got[0].Position != 8 {
		t.Errorf("read %+v", got)
	}
	want := []string{"2026-03-01.db", "2026-03-02.db", "2026-03-03.db", "2026-03-03.db.damaged", "2026-03-03.db.damaged.2"}
	if got := f.files(t); !slices.Equal(got, want) {
		t.Errorf("files %q", got)
	}
}

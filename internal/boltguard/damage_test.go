package boltguard_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
)

const (
	testPage = 1024
	testRows = 2000
)

func testOptions() *bolt.Options {
	return &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType, InitialMmapSize: 1 << 26}
}

// fill makes a file with every kind of page.
func fill(t testing.TB, path string, listFree bool) {
	t.Helper()
	options := testOptions()
	options.PageSize, options.NoFreelistSync = testPage, !listFree
	db, err := bolt.Open(path, 0o600, options)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		err := db.Update(func(tx *bolt.Tx) error { return putRows(tx, round) })
		if err != nil {
			t.Fatal(err)
		}
	}
	used := int64(0)
	err = errors.Join(db.View(func(tx *bolt.Tx) error { used = tx.Size(); return nil }), db.Close(), os.Truncate(path, used))
	if err != nil {
		t.Fatal(err)
	}
}

// folder is one in memory where there is one: these tests sync a lot.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "boltguard")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func putRows(tx *bolt.Tx, round int) error {
	b, err := tx.CreateBucketIfNotExists([]byte("rows"))
	if err != nil {
		return err
	}
	for i := range testRows {
		if err := b.Put(rowKey(i), fmt.Appendf(nil, "value %d of round %d", i, round)); err != nil {
			return err
		}
	}
	return b.Put([]byte("long"), make([]byte, 5*testPage)) // has overflow pages
}

func rowKey(i int) []byte { return fmt.Appendf(nil, "row %06d", i) }

// pagesByKind lists the pages in use of each kind.
func pagesByKind(t testing.TB, path string) map[string][]int {
	t.Helper()
	options := testOptions()
	options.ReadOnly, options.PreLoadFreelist = true, true
	db, err := bolt.Open(path, 0o600, options)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	kinds := map[string][]int{}
	err = db.View(func(tx *bolt.Tx) error {
		for id := 0; ; {
			page, err := tx.Page(id)
			if err != nil || page == nil {
				return err
			}
			kinds[page.Type] = append(kinds[page.Type], id)
			id += 1 + page.OverflowCount
		}
	})
	if err != nil && len(kinds) == 0 {
		t.Fatal(err)
	}
	return kinds
}

// exercise opens the file, reads all, writes and closes. It returns the first
// error of each.
func exercise(path string) (opened, read, written, closed error) {
	db, err := boltguard.Open(path, testOptions())
	if err != nil {
		return err, nil, nil, nil
	}
	read = db.View(readAll)
	for range 2 {
		written = db.Update(func(tx *bolt.Tx) error { return putRows(tx, 9) })
	}
	_ = db.View(readAll)
	return nil, read, written, db.Close()
}

func readAll(tx *bolt.Tx) error {
	b := tx.Bucket([]byte("rows"))
	if b == nil {
		return errors.New("no rows")
	}
	return b.ForEach(func(_, _ []byte) error { return nil })
}

// within fails a test that hangs on a lock nobody gives back.
func within(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("stuck")
	}
}

func TestDamagedPagesAreErrors(t *testing.T) {
	damages := map[string]func([]byte){
		"zeros":  func(page []byte) { clear(page) },
		"ones":   func(page []byte) { copy(page, strings.Repeat("\xff", len(page))) },
		"header": func(page []byte) { copy(page, strings.Repeat("\x55", 16)) },
		"count":  func(page []byte) { page[10], page[11] = 0xfe, 0xff },
		"places": func(page []byte) { copy(page[16:], strings.Repeat("\x7f", 64)) },
	}
	for _, listFree := range []bool{true, false} {
		whole := filepath.Join(folder(t), "whole.db")
		fill(t, whole, listFree)
		original, err := os.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		for kind, pages := range pagesByKind(t, whole) {
			if kind == "free" || kind == "meta" {
				continue
			}
			for name, damage := range damages {
				t.Run(fmt.Sprintf("list of free pages %v/%s/%s", listFree, kind, name), func(t *testing.T) {
					for _, id := range []int{pages[0], pages[len(pages)/2], pages[len(pages)-1]} {
						path := filepath.Join(folder(t), "test.db")
						b := append([]byte(nil), original...)
						damage(b[id*testPage:][:testPage])
						if err := os.WriteFile(path, b, 0o600); err != nil {
							t.Fatal(err)
						}
						within(t, func() {
							checked := boltguard.Check(path)
							opened, read, written, closed := exercise(path)
							err := errors.Join(opened, read, written)
							if err != nil && errors.Is(err, boltguard.ErrDamaged) && !strings.Contains(err.Error(), path) {
								t.Errorf("page %d: the file is not named: %v", id, err)
							}
							if kind != "freelist" && (checked == nil) && err != nil {
								t.Errorf("page %d: the check found nothing, and then: %v", id, err)
							}
							if closed != nil {
								t.Errorf("page %d: close: %v", id, closed)
							}
						})
					}
				})
			}
		}
	}
}

// Whatever is wrong with a file, the process goes on.
func TestRandomDamage(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	found := 0
	for _, listFree := range []bool{true, false} {
		whole := filepath.Join(folder(t), "whole.db")
		fill(t, whole, listFree)
		original, err := os.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		for range 25 {
			path := filepath.Join(folder(t), "test.db")
			b := append([]byte(nil), original...)
			for range 1 + random.IntN(20) {
				at := random.IntN(len(b))
				for i := at; i < min(len(b), at+1+random.IntN(64)); i++ {
					b[i] = byte(random.Uint32())
				}
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			within(t, func() {
				opened, read, written, _ := exercise(path)
				if errors.Join(opened, read, written) != nil {
					found++
				}
			})
		}
	}
	if found == 0 {
		t.Error("no damage was met: the test proves nothing")
	}
}

func TestFilesThatAreNoneAreRefused(t *testing.T) {
	whole := filepath.Join(folder(t), "whole.db")
	fill(t, whole, true)
	original, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"empty": {}, "one octet": {1}, "one page": original[:testPage], "two pages": original[:2*testPage],
		"cut": original[:len(original)-testPage], "text": []byte(strings.Repeat("not a database\n", 1000)),
		"zeros": make([]byte, len(original)), "no metas": append(make([]byte, 2*testPage), original[2*testPage:]...),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(folder(t), "test.db")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := boltguard.Open(path, testOptions())
			if !errors.Is(err, boltguard.ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("opened with %v", err)
			}
			if now, _ := os.ReadFile(path); string(now) != string(content) {
				t.Error("the file was changed")
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		if _, err := boltguard.Open(filepath.Join(folder(t), "none"), testOptions()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("opened with %v", err)
		}
	})
	t.Run("folder", func(t *testing.T) {
		if _, err := boltguard.Open(folder(t), testOptions()); err == nil || errors.Is(err, boltguard.ErrDamaged) {
			t.Errorf("opened with %v", err)
		}
	})
}

// One meta page is enough.
func TestOneDamagedMetaPage(t *testing.T) {
	for page := range 2 {
		path := filepath.Join(folder(t), "test.db")
		fill(t, path, true)
		damagePage(t, path, page)
		if opened, read, written, closed := exercise(path); errors.Join(opened, read, written, closed) != nil {
			t.Errorf("meta page %d: %v, %v, %v, %v", page, opened, read, written, closed)
		}
	}
}

func damagePage(t testing.TB, path string, id int) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt(make([]byte, testPage), int64(id)*testPage)
	if err = errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// What is whole can be read after a fault in reading or writing.
func TestTheRestCanBeReadAfterAFault(t *testing.T) {
	path := filepath.Join(folder(t), "test.db")
	fill(t, path, true)
	db, err := boltguard.Open(path, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	leaves := pagesOf(t, db, "leaf")
	damagePage(t, path, leaves[len(leaves)/2])
	within(t, func() {
		for range 3 {
			if err := db.View(readAll); !errors.Is(err, boltguard.ErrDamaged) {
				t.Errorf("read with %v", err)
			}
			if n := readable(t, db); n < testRows-100 || n == testRows {
				t.Errorf("%d rows of %d can be read", n, testRows)
			}
		}
		for range 3 {
			err := db.Update(func(tx *bolt.Tx) error { return putRows(tx, 5) })
			if !errors.Is(err, boltguard.ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("written with %v", err)
			}
			if n := readable(t, db); n < testRows-100 || n == testRows {
				t.Errorf("%d rows of %d can be read", n, testRows)
			}
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		again, err := boltguard.Open(path, testOptions()) // the lock was given back
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
}

func pagesOf(t *testing.T, db *boltguard.DB, kind string) (ids []int) {
	t.Helper()
	err := db.View(func(tx *bolt.Tx) error {
		for id := 0; ; id++ {
			page, err := tx.Page(id)
			if err != nil || page == nil {
				return err
			}
			if page.Type == kind {
				ids = append(ids, id)
			}
			id += page.OverflowCount
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func readable(t *testing.T, db *boltguard.DB) (n int) {
	t.Helper()
	for i := range testRows {
		err := db.View(func(tx *bolt.Tx) error {
			if tx.Bucket([]byte("rows")).Get(rowKey(i)) == nil {
				return errors.New("none")
			}
			return nil
		})
		if err == nil {
			n++
		}
	}
	return n
}

// A file that is cut under an open database ends nothing but its use.
func TestCutWhileOpen(t *testing.T) {
	for _, size := range []int64{0, testPage, 4 * testPage} {
		path := filepath.Join(folder(t), "test.db")
		fill(t, path, true)
		db, err := boltguard.Open(path, testOptions())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		within(t, func() {
			done := make(chan error)
			for range 4 {
				go func() { done <- db.View(readAll) }()
			}
			for range 4 {
				if err := <-done; !errors.Is(err, boltguard.ErrDamaged) {
					t.Errorf("cut to %d, read with %v", size, err)
				}
			}
			if err := db.Update(func(tx *bolt.Tx) error { return putRows(tx, 5) }); !errors.Is(err, boltguard.ErrDamaged) {
				t.Errorf("cut to %d, written with %v", size, err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenFileIsLocked(t *testing.T) {
	path := filepath.Join(folder(t), "test.db")
	fill(t, path, false)
	db, err := boltguard.Open(path, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	options := testOptions()
	options.Timeout = 50 * time.Millisecond
	if _, err := boltguard.Open(path, options); err == nil || errors.Is(err, boltguard.ErrDamaged) {
		t.Errorf("opened twice: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if opened, read, written, closed := exercise(path); errors.Join(opened, read, written, closed) != nil {
		t.Errorf("%v, %v, %v, %v", opened, read, written, closed)
	}
}

// Readers end while others wait for the file to be mapped anew.
func TestReadersBesideGrowth(t *testing.T) {
	path := filepath.Join(folder(t), "test.db")
	fill(t, path, true)
	options := testOptions()
	options.InitialMmapSize = 0
	db, err := boltguard.Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	within(t, func() {
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := db.View(readAll); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for i := range 40 {
			err := db.Update(func(tx *bolt.Tx) error {
				return tx.Bucket([]byte("rows")).Put(rowKey(testRows+i), make([]byte, 50_000))
			})
			if err != nil {
				t.Error(err)
			}
		}
		close(stop)
		readers.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

package suppress

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// filtered waits until a filter is used that is made for so many entries.
func (f *fixture) filtered(tb testing.TB, rows int64) *filter {
	tb.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); runtime.Gosched() {
		if now := f.filter.Load(); now.ready.Load() && now.capacity.Load() >= rows {
			return now
		}
	}
	tb.Fatal("no filter")
	return nil
}

// A filter rules out nobody who is there, and nearly everybody else.
func TestFilter(t *testing.T) {
	f := newTest(t)
	const n = 3000
	fillMany(t, f, n)
	for range 2 {
		now := f.filtered(t, filterRows)
		passed := 0
		for i := range 10 * n {
			to := fmt.Sprintf("reader%d@example.com", i)
			if _, found := f.check(t, "acme", "marketing", to); found != (i < n) {
				t.Fatalf("%s: %t", to, found)
			}
			if now.mayHave(f.secret.prefix("acme", address(t, to))) {
				passed++
			}
		}
		if passed < n || passed > n+n/100 {
			t.Errorf("%d pass of whom %d are there", passed, n)
		}
		f = f.reopen(t)
	}
}

// At the number of entries that a filter is made for 1 in 100 others passes at
// most, and at twice as many, when another is made, 1 in 10.
func TestFilterRate(t *testing.T) {
	for times, most := range map[int]float64{1: 0.01, 2: 0.1} {
		f, s := newFilter(filterRows), newSecret(make([]byte, secretLength))
		f.ready.Store(true)
		sum := func(i int) []byte { return s.prefixOf("acme", sha256Hash, fmt.Append(nil, i)) }
		for i := range times * filterRows {
			f.add(sumOf(sum(i)))
		}
		passed := 0
		for i := range filterRows {
			if !f.mayHave(sum(i)) {
				t.Fatalf("%d is ruled out", i)
			}
			if f.mayHave(sum(-1 - i)) {
				passed++
			}
		}
		if rate := float64(passed) / filterRows; rate > most {
			t.Errorf("%d times the entries: %.4f pass", times, rate)
		} else {
			t.Logf("%d times the entries: %.4f pass", times, rate)
		}
	}
}

// One that has become too small is replaced while entries come, and loses
// none of them.
func TestFilterGrows(t *testing.T) {
	f := newTest(t)
	f.filtered(t, filterRows)
	const n = 2*filterRows + 30_000
	f.importList(t, 0, n)
	now := f.filtered(t, filterRows+1)
	for i := range n {
		if !now.mayHave(f.secret.prefix("acme", address(t, fmt.Sprintf("reader.%d@example%d.com", i, i%5000)))) {
			t.Fatalf("%d is ruled out", i)
		}
	}
}

// Without all entries there is no filter.
func TestDamageLeavesNoFilter(t *testing.T) {
	f := newTest(t)
	f.filtered(t, 0)
	err := f.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(entriesBucket)).Put([]byte("short"), nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	before := f.filter.Load()
	if err := f.fillFilter(t.Context()); !errors.Is(err, ErrDamaged) || f.filter.Load() != before {
		t.Errorf("got %v", err)
	}
}

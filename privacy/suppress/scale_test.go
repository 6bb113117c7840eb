package suppress

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// scale is how many entries the benchmarks at scale work on;
// POSTRIDER_SUPPRESSIONS says another number than the usual one.
func scale(b *testing.B, usual int) int {
	b.Helper()
	n, err := strconv.Atoi(os.Getenv("POSTRIDER_SUPPRESSIONS"))
	if err != nil {
		return usual
	}
	return n
}

// writeList generates a list of n addresses, from the first one on.
func writeList(w io.Writer, first, n int) error {
	buffered := bufio.NewWriter(w)
	fmt.Fprintln(buffered, "address,reason,stream,time,expires")
	for i := first; i < first+n; i++ {
		fmt.Fprintf(buffered, "reader.%d@example%d.com,unsubscribed,marketing,2026-03-01T12:00:00Z,\n", i, i%5000)
	}
	return buffered.Flush()
}

func (f *fixture) importList(tb testing.TB, first, n int) Imported {
	tb.Helper()
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(writeList(writer, first, n)) }()
	done, err := f.Import(context.Background(), reader, Import{Format: CSV, Tenant: "acme"})
	if err != nil {
		tb.Fatal(err)
	}
	return done
}

// BenchmarkImport reads a list into an empty store, and again.
func BenchmarkImport(b *testing.B) {
	n := scale(b, 100_000)
	for b.Loop() {
		f := newTest(b)
		begun := time.Now()
		if done := f.importList(b, 0, n); done.Added != n {
			b.Fatalf("%+v", done)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s/first")
		begun = time.Now()
		if done := f.importList(b, 0, n); done.Known != n {
			b.Fatalf("%+v", done)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s/again")
	}
}

// BenchmarkCheckAtScale asks for random addresses of a long list, half of which
// are on it. Where POSTRIDER_SUPPRESS_DB names a file it is used again.
func BenchmarkCheckAtScale(b *testing.B) {
	n := scale(b, 100_000)
	path := os.Getenv("POSTRIDER_SUPPRESS_DB")
	if path == "" {
		path = filepath.Join(b.TempDir(), "suppress.db")
	}
	f := openTest(b, path)
	begun := time.Now()
	if _, found := f.check(b, "acme", "marketing", "reader.0@example0.com"); !found {
		f.importList(b, 0, n)
		b.Logf("%d entries in %s", n, time.Since(begun))
	}
	begun = time.Now()
	f.filtered(b, int64(n/10))
	b.Logf("filter after %s", time.Since(begun))
	for _, kind := range []string{"hit", "miss"} {
		first := 0
		if kind == "miss" {
			first = n
		}
		asked := make([]mail.Address, min(n, 500_000))
		for i := range asked {
			at := first + rand.IntN(n)
			asked[i] = address(b, fmt.Sprintf("reader.%d@example%d.com", at, at%5000))
		}
		b.Run(kind, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if _, found, err := f.Check("acme", "marketing", asked[i%len(asked)]); err != nil || found != (kind == "hit") {
					b.Fatal(found, err)
				}
			}
		})
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("heap %d MB, file %d MB", m.HeapAlloc>>20, info.Size()>>20)
}

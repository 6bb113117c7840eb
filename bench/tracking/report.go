package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// measured is one turn with the processor time it took the server.
type measured struct {
	turn
	cpu time.Duration
}

// figures are all that was measured.
type figures struct {
	rewriting []rewriting
	// tracker and bare have an entry for each round.
	tracker, bare []measured
	// events were recorded, dropped were not.
	events, dropped float64
	// memory above idle and disk afterwards, in octets.
	memory, disk int64
	filesystem   string
}

const million = 1_000_000

// print writes the tables, and the line for programs.
func (f *figures) print(w io.Writer) error {
	fmt.Fprintf(w, "\n| rewriting | MB/s | allocations a message | KB a message | links |\n|---|---|---|---|---|\n")
	for _, r := range f.rewriting {
		fmt.Fprintf(w, "| %s | %.1f | %d | %.1f | %d |\n", r.encoding, r.perSecond/million, r.allocations, float64(r.allocated)/1000, r.links)
	}
	fmt.Fprintf(w, "\n| server | requests/s | p50 ms | p99 ms | CPU us a request |\n|---|---|---|---|---|\n")
	for _, s := range []struct {
		name  string
		turns []measured
	}{{"tracker, recording", f.tracker}, {"bare handler", f.bare}} {
		fmt.Fprintf(w, "| %s | %.0f | %.2f | %.2f | %.1f |\n", s.name, median(s.turns, rate), median(s.turns, waits(0.5)), median(s.turns, waits(0.99)), median(s.turns, cost))
	}
	fmt.Fprintf(w, "\n%.0f clicks recorded, %.0f dropped; memory above idle %.0f MB, data folder after a stop %.0f MB (%s)\n",
		f.events, f.dropped, float64(f.memory)/million, float64(f.disk)/million, f.filesystem)
	fmt.Fprintf(w, "a million clicks take %.0f MB of disk\n\n", f.diskPerMillion())
	_, err := fmt.Fprintf(w, "bench-tracking: vs_bare=%.2f p99_ms=%.2f rewrite_mb_s=%.1f disk_mb_per_million=%.0f\n",
		f.ratio(), median(f.tracker, waits(0.99)), f.slowest(), f.diskPerMillion())
	return err
}

// ratio is the median of the rounds' ratios.
func (f *figures) ratio() float64 {
	ratios := make([]float64, len(f.tracker))
	for i := range ratios {
		ratios[i] = rate(f.tracker[i]) / rate(f.bare[i])
	}
	return middle(ratios)
}

// slowest is the rate of the encoding that costs most, in MB a second.
func (f *figures) slowest() float64 {
	least := 0.0
	for i, r := range f.rewriting {
		if i == 0 || r.perSecond < least {
			least = r.perSecond
		}
	}
	return least / million
}

func (f *figures) diskPerMillion() float64 {
	if f.events == 0 {
		return 0
	}
	return float64(f.disk) / f.events
}

func rate(m measured) float64 { return m.perSecond() }

func cost(m measured) float64 {
	return float64(m.cpu.Microseconds()) / float64(max(m.answers, 1))
}

func waits(share float64) func(measured) float64 {
	return func(m measured) float64 { return float64(m.percentile(share).Microseconds()) / 1000 }
}

func median(turns []measured, of func(measured) float64) float64 {
	values := make([]float64, len(turns))
	for i, t := range turns {
		values[i] = of(t)
	}
	return middle(values)
}

func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// storePackage holds the benchmarks of the store.
const storePackage = "./queue/boltqueue"

// measurement is one benchmark's line: its name without the processors, and
// value by unit.
type measurement struct {
	name   string
	values map[string]float64
}

// rounds of the measurements; the median counts.
const rounds = 5

// cases are the benchmarks of the store, its two baselines first.
func cases() []string {
	return []string{"append", "rows", "accept+settle", "accept", "settle", "defer", "mix"}
}

// throughput runs the store's own benchmarks: each in a process of its own, so
// that none bears what another left in memory, and all in turns, so that a
// moment's noise hits all alike.
func (b *bench) throughput(ctx context.Context) error {
	binary := filepath.Join(b.dir, "store.test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, storePackage).CombinedOutput(); err != nil {
		return fmt.Errorf("go test: %w\n%s", err, out)
	}
	for _, writers := range []struct{ number, operations int }{
		{1, b.operations / 40}, {50, b.operations / 2}, {500, b.operations / 2},
	} {
		fmt.Fprintf(os.Stderr, "bench-store: the store alone, %d writers\n", writers.number)
		var all []measurement
		for range rounds {
			for _, name := range cases() {
				m, err := b.benchmark(ctx, binary, name, writers.number, writers.operations)
				if err != nil {
					return err
				}
				all = append(all, m)
			}
		}
		b.figures.throughput = append(b.figures.throughput, medians(all)...)
	}
	return nil
}

func (b *bench) benchmark(ctx context.Context, binary, name string, writers, operations int) (measurement, error) {
	pattern := fmt.Sprintf("^BenchmarkStore$/^%s$/^writers=%d$", regexp.QuoteMeta(name), writers)
	cmd := exec.CommandContext(ctx, binary, "-test.run", "^$", "-test.bench", pattern,
		"-test.benchtime", strconv.Itoa(operations)+"x")
	cmd.Env = append(os.Environ(), "TMPDIR="+b.dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return measurement{}, fmt.Errorf("%s: %w\n%s", name, err, out.String())
	}
	for line := range strings.Lines(out.String()) {
		if m, ok := parseMeasurement(line); ok {
			return m, nil
		}
	}
	return measurement{}, fmt.Errorf("%s: no figures in\n%s", name, out.String())
}

// medians joins the measurements of one name, each unit for itself.
func medians(all []measurement) []measurement {
	var order []string
	values := map[string]map[string][]float64{}
	for _, m := range all {
		if values[m.name] == nil {
			order = append(order, m.name)
			values[m.name] = map[string][]float64{}
		}
		for unit, value := range m.values {
			values[m.name][unit] = append(values[m.name][unit], value)
		}
	}
	joined := make([]measurement, len(order))
	for i, name := range order {
		joined[i] = measurement{name: name, values: map[string]float64{}}
		for unit, v := range values[name] {
			slices.Sort(v)
			joined[i].values[unit] = v[len(v)/2]
		}
	}
	return joined
}

// parseMeasurement reads a line such as
// "BenchmarkStore/accept/writers=50-2  30000  32.93 cpu-µs/op  7004 op/s".
func parseMeasurement(line string) (measurement, bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
		return measurement{}, false
	}
	_, name, _ := strings.Cut(fields[0], "/")
	if dash := strings.LastIndexByte(name, '-'); dash > 0 {
		name = name[:dash]
	}
	m := measurement{name: name, values: map[string]float64{}}
	for i := 2; i+1 < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return measurement{}, false
		}
		m.values[fields[i+1]] = value
	}
	return m, true
}

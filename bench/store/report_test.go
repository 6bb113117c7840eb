package main

import (
	"strings"
	"testing"
	"time"
)

func TestParseMeasurement(t *testing.T) {
	m, ok := parseMeasurement("BenchmarkStore/accept+settle/writers=50-2 \t 30000\t 37.33 cpu-µs/op\t 7084 op/s\t 11063 written-B/op\n")
	if !ok || m.name != "accept+settle/writers=50" || m.values["op/s"] != 7084 || m.values["cpu-µs/op"] != 37.33 {
		t.Errorf("%v %+v", ok, m)
	}
	for _, line := range []string{"", "PASS", "goos: linux", "ok  \tpackage\t21s", "BenchmarkStore/x-2 10 fast op/s"} {
		if m, ok := parseMeasurement(line); ok {
			t.Errorf("%q: %+v", line, m)
		}
	}
}

func TestMedians(t *testing.T) {
	got := medians([]measurement{
		{"a", map[string]float64{"op/s": 3}},
		{"b", map[string]float64{"op/s": 9}},
		{"a", map[string]float64{"op/s": 100}},
		{"a", map[string]float64{"op/s": 5}},
	})
	if len(got) != 2 || got[0].name != "a" || got[0].values["op/s"] != 5 || got[1].values["op/s"] != 9 {
		t.Errorf("%+v", got)
	}
}

func TestSummary(t *testing.T) {
	f := figures{
		idle: 10 << 20, anonymous: map[string]int64{"1m": 60 << 20}, start: map[string]time.Duration{"1m": 1500 * time.Millisecond},
		throughput: []measurement{
			{"append/writers=50", map[string]float64{"op/s": 10_000}},
			{"rows/writers=50", map[string]float64{"op/s": 2000}},
			{"accept+settle/writers=50", map[string]float64{"op/s": 6000, "cpu-µs/op": 40, "written-B/op": 11264}},
		},
	}
	const want = "bench-store: anon_mb_1m=50 anon_mb_10m=n/a start_s_1m=1.50 start_s_10m=n/a " +
		"settle_per_s=6000 vs_append=0.60 vs_bbolt=3.00 cpu_us=40.0 write_amp=1.00"
	if got := f.summary(); got != want {
		t.Errorf("%s", got)
	}
	var out strings.Builder
	if err := f.print(&out); err != nil || !strings.HasSuffix(out.String(), want+"\n") {
		t.Errorf("%v: %q", err, out.String())
	}
}

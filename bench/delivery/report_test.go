package main

import (
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
)

func TestSummary(t *testing.T) {
	f := figures{}
	if got := f.summary(); strings.Count(got, "=n/a") != 6 {
		t.Errorf("nothing measured: %s", got)
	}
	for _, trip := range roundTrips() {
		f.rate(trip, "pipelining", 20)
		f.rate(trip, "chunking", 600.04)
	}
	f.spread(1, 150*time.Microsecond, testmx.Counters{Connections: 20})
	f.spread(2000, 250*time.Microsecond, testmx.Counters{})
	f.known(50_000, 100<<20, time.Millisecond)
	f.resumed(true, 3*time.Millisecond, time.Second)
	const want = "bench-delivery: rtt50_pipelining_per_s=20.0 rtt50_chunking_per_s=600.0 rtt50_postfix_per_s=n/a " +
		"cpu_ms_1=0.150 cpu_ms_2000=0.250 mb_50000_sites=100.0"
	if got := f.summary(); got != want {
		t.Errorf("%s", got)
	}
	var out strings.Builder
	if err := f.print(&out); err != nil || !strings.HasSuffix(out.String(), want+"\n") {
		t.Errorf("%v: %q", err, out.String())
	}
}

package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
)

// figures is everything that was measured. What was not is shown as n/a.
type figures struct {
	postfix string
	// rates by round trip and way, messages a second.
	rates map[time.Duration]map[string]float64
	// perMessage is processor time by the number of destinations.
	perMessage map[int]time.Duration
	// memory by the number of sites known.
	memory map[int]int64
	rows   []row
}

type row struct{ what, value string }

func (f *figures) add(what, format string, values ...any) {
	f.rows = append(f.rows, row{what, fmt.Sprintf(format, values...)})
}

func (f *figures) rate(trip time.Duration, way string, rate float64) {
	if f.rates == nil {
		f.rates = map[time.Duration]map[string]float64{}
	}
	if f.rates[trip] == nil {
		f.rates[trip] = map[string]float64{}
	}
	f.rates[trip][way] = rate
}

func (f *figures) spread(domains int, used time.Duration, c testmx.Counters) {
	if f.perMessage == nil {
		f.perMessage = map[int]time.Duration{}
	}
	f.perMessage[domains] = used
	f.add(fmt.Sprintf("%d domains: CPU a message", domains), "%s ms", milliseconds(used))
	f.add(fmt.Sprintf("%d domains: connections, at most at once", domains), "%d, %d", c.Connections, c.Peak)
}

func (f *figures) known(sites int, memory int64, used time.Duration) {
	if f.memory == nil {
		f.memory = map[int]int64{}
	}
	f.memory[sites] = memory
	f.add(fmt.Sprintf("%d sites down: anonymous memory above idle", sites), "%.1f MB", float64(memory)/(1<<20))
	f.add(fmt.Sprintf("%d sites down: CPU a message to 20 others", sites), "%s ms", milliseconds(used))
}

func (f *figures) resumed(lifted bool, first, most time.Duration) {
	from := "end of the pause"
	if lifted {
		from = "lift"
	}
	f.add("paused site: first message after the "+from, "%.0f ms", 1000*first.Seconds())
	f.add(fmt.Sprintf("paused site: %d messages after the %s", waiting*9/10, from), "%.0f ms", 1000*most.Seconds())
}

// print writes the tables and the line for machines.
func (f *figures) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(f.rates) > 0 {
		fmt.Fprintf(w, "\nmessages a second over one connection (%s)\n", f.postfix)
		fmt.Fprintln(w, "round trip\tneither\tPIPELINING\tCHUNKING\tPostfix\t")
	}
	for _, trip := range roundTrips() {
		if r := f.rates[trip]; r != nil {
			fmt.Fprintf(w, "%v\t%s\t%s\t%s\t%s\t\n", trip,
				perSecond(r["neither"]), perSecond(r["pipelining"]), perSecond(r["chunking"]), perSecond(r["postfix"]))
		}
	}
	fmt.Fprintln(w)
	for _, r := range f.rows {
		fmt.Fprintf(w, "%s\t%s\t\n", r.what, r.value)
	}
	fmt.Fprintln(w)
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, f.summary())
	return err
}

// summary is the last line.
func (f *figures) summary() string {
	near := f.rates[50*time.Millisecond]
	return fmt.Sprintf("bench-delivery: rtt50_pipelining_per_s=%s rtt50_chunking_per_s=%s rtt50_postfix_per_s=%s "+
		"cpu_ms_1=%s cpu_ms_2000=%s mb_50000_sites=%s",
		perSecond(near["pipelining"]), perSecond(near["chunking"]), perSecond(near["postfix"]),
		milliseconds(f.perMessage[1]), milliseconds(f.perMessage[2000]), megabytes(f.memory, 50_000))
}

const unmeasured = "n/a"

func perSecond(rate float64) string {
	if rate == 0 {
		return unmeasured
	}
	return fmt.Sprintf("%.1f", rate)
}

func milliseconds(d time.Duration) string {
	if d == 0 {
		return unmeasured
	}
	return fmt.Sprintf("%.3f", 1000*d.Seconds())
}

func megabytes(all map[int]int64, of int) string {
	octets, ok := all[of]
	if !ok {
		return unmeasured
	}
	return fmt.Sprintf("%.1f", float64(octets)/(1<<20))
}

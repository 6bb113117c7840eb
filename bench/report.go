package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// report collects figures, one for each round.
type report struct {
	out     io.Writer
	jobs    []job
	systems []system
	// found by job and system.
	found map[string][]figures
}

func newReport(out io.Writer, jobs []job, systems []system) *report {
	return &report{out: out, jobs: jobs, systems: systems, found: map[string][]figures{}}
}

func key(j job, s system) string { return j.name + " " + s.name() }

func (r *report) add(s system, j job, f figures) {
	r.found[key(j, s)] = append(r.found[key(j, s)], f)
}

// progress is for who waits, apart from the report.
func (r *report) progress(text string) { fmt.Fprintln(os.Stderr, text) }

// column is one figure of the table.
type column struct {
	title string
	value func(figures) float64
	verb  string
}

func columns() []column {
	milliseconds := func(of func(figures) time.Duration) func(figures) float64 {
		return func(f figures) float64 { return of(f).Seconds() * 1000 }
	}
	return []column{
		{"accepted/s", func(f figures) float64 { return f.acceptRate }, "%.0f"},
		{"delivered/s", func(f figures) float64 { return f.deliverRate }, "%.0f"},
		{"CPU ms", milliseconds(func(f figures) time.Duration { return f.cpu }), "%.3f"},
		{"peak MB", func(f figures) float64 { return megabytes(f.memory.Peak) }, "%.0f"},
		{"own MB", func(f figures) float64 { return megabytes(f.memory.Anonymous) }, "%.0f"},
		{"generator ms", milliseconds(func(f figures) time.Duration { return f.generator }), "%.3f"},
		{"sink ms", milliseconds(func(f figures) time.Duration { return f.sink }), "%.3f"},
	}
}

func megabytes(octets int64) float64 { return float64(octets) / 1e6 }

func (r *report) print() {
	table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "\nwork\tsystem\t")
	for _, c := range columns() {
		fmt.Fprint(table, c.title, "\t")
	}
	fmt.Fprintln(table)
	for _, j := range r.jobs {
		for _, s := range r.systems {
			r.row(table, j, s)
		}
	}
	_ = table.Flush() // to a terminal or a pipe
	fmt.Fprintln(r.out)
	r.ratios()
	fmt.Fprintln(r.out, r.line())
}

func (r *report) row(table io.Writer, j job, s system) {
	found := r.found[key(j, s)]
	if len(found) == 0 {
		return
	}
	fmt.Fprintf(table, "%v\t%s\t", j, s.name())
	for _, c := range columns() {
		fmt.Fprint(table, spread(c.verb, values(found, c.value)), "\t")
	}
	fmt.Fprintln(table)
}

func values(found []figures, of func(figures) float64) []float64 {
	var all []float64
	for _, f := range found {
		all = append(all, of(f))
	}
	return all
}

// spread is the median, and of several rounds the lowest and highest too.
func spread(verb string, all []float64) string {
	text := fmt.Sprintf(verb, median(all))
	if len(all) > 1 {
		text += fmt.Sprintf(" ("+verb+"-"+verb+")", slices.Min(all), slices.Max(all))
	}
	return text
}

// median of one value or more.
func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// ratio compares the systems round by round, since what else the machine does
// changes from one to the next.
func (r *report) ratio(j job) []float64 {
	ours, theirs := r.found[key(j, r.systems[0])], r.found[key(j, r.systems[1])]
	var all []float64
	for i := range min(len(ours), len(theirs)) {
		all = append(all, ours[i].deliverRate/theirs[i].deliverRate)
	}
	return all
}

func (r *report) ratios() {
	for _, j := range r.jobs {
		if _, why := r.systems[1].can(j); why != "" {
			fmt.Fprintf(r.out, "%v: not compared with %s: %s\n", j, r.systems[1].name(), why)
			continue
		}
		if ratio := r.ratio(j); len(ratio) > 0 {
			fmt.Fprintf(r.out, "%v: delivered at %s times the rate of %s\n", j, spread("%.1f", ratio), r.systems[1].name())
		}
	}
}

// missing stands for a figure that was not measured.
const missing = "n/a"

// line is the last one, for programs: medians of the work to twenty domains.
func (r *report) line() string {
	plain, signed := jobs()[1], jobs()[3]
	accept := func(f figures) float64 { return f.acceptRate }
	deliver := func(f figures) float64 { return f.deliverRate }
	cpu := func(f figures) float64 { return f.cpu.Seconds() * 1000 }
	return fmt.Sprintf("bench: accept_per_s=%s deliver_per_s=%s deliver_dkim_per_s=%s cpu_ms=%s cpu_ms_dkim=%s peak_mb=%s postfix_ratio=%s postfix_dkim_ratio=%s",
		r.figure("%.0f", plain, accept), r.figure("%.0f", plain, deliver), r.figure("%.0f", signed, deliver),
		r.figure("%.3f", plain, cpu), r.figure("%.3f", signed, cpu), r.peak(plain, signed),
		one("%.1f", r.ratio(plain)), one("%.1f", r.ratio(signed)))
}

func (r *report) figure(verb string, j job, of func(figures) float64) string {
	return one(verb, values(r.found[key(j, r.systems[0])], of))
}

func one(verb string, all []float64) string {
	if len(all) == 0 {
		return missing
	}
	return fmt.Sprintf(verb, median(all))
}

// peak is the higher one of the jobs.
func (r *report) peak(jobs ...job) string {
	var all []float64
	for _, j := range jobs {
		found := values(r.found[key(j, r.systems[0])], func(f figures) float64 { return megabytes(f.memory.Peak) })
		if len(found) > 0 {
			all = append(all, median(found))
		}
	}
	if len(all) == 0 {
		return missing
	}
	return fmt.Sprintf("%.0f", slices.Max(all))
}

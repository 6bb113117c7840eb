package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/postrider-mta/postrider/bench/gauge"
)

// messageBytes is the message of the store's benchmarks.
const messageBytes = 10 << 10

// figures is everything that was measured. What was not is shown as n/a.
type figures struct {
	// idle is the daemon's anonymous memory before there is mail.
	idle       int64
	throughput []measurement
	// anonymous is the most beside a backlog, start the longest time until the
	// first delivery, by the backlog's name.
	anonymous map[string]int64
	start     map[string]time.Duration
	rows      []row
}

type row struct{ what, value string }

func (f *figures) add(what, format string, values ...any) {
	f.rows = append(f.rows, row{what, fmt.Sprintf(format, values...)})
}

func (f *figures) remember(name string, anonymous int64) {
	if f.anonymous == nil {
		f.anonymous = map[string]int64{}
	}
	f.anonymous[name] = max(f.anonymous[name], anonymous)
}

func (f *figures) ingested(size backlog, i ingestion) {
	f.remember(size.name, max(i.while.Anonymous, i.after))
	if len(f.rows) == 0 {
		f.add("anonymous memory, idle", "%d MB", f.idle>>20)
	}
	f.add(size.name+" in over SMTP", "%.0f recipients/s, %d octets written for each", float64(size.recipients)/i.took.Seconds(), i.written)
	f.add(size.name+" in over SMTP, anonymous above idle, most while they came", "%d MB", (i.while.Anonymous-f.idle)>>20)
	f.add(size.name+" in over SMTP, anonymous above idle, most in the seconds after", "%d MB", (i.after-f.idle)>>20)
	f.add(size.name+" in over SMTP, resident with mapped files", "%d MB", i.while.Peak>>20)
}

func (f *figures) filled(size backlog, r fillResult) {
	f.add(size.name+" into the store alone", "%.0f recipients/s, %d octets written for each, anonymous %d MB in all",
		float64(size.recipients)/r.Accept.Seconds(), r.Written, r.Anonymous>>20)
}

func (f *figures) begun(name, after string, first time.Duration, memory gauge.Memory) {
	f.remember(name, memory.Anonymous)
	if f.start == nil {
		f.start = map[string]time.Duration{}
	}
	f.start[name] = max(f.start[name], first)
	f.add(name+" waiting, start after "+after+", first delivery", "%.2f s", first.Seconds())
	f.add(name+" waiting, start after "+after+", anonymous above idle", "%d MB", (memory.Anonymous-f.idle)>>20)
	f.add(name+" waiting, start after "+after+", resident with mapped files", "%d MB", memory.Peak>>20)
}

func (f *figures) drained(kind string, r fillResult) {
	switch kind {
	case "cancel":
		f.add("cancel of a million, until it returned", "%.1f s", r.Cancel.Seconds())
		f.add("cancel of a million, until the last event was in the log", "%.1f s", (r.Cancel + r.Events).Seconds())
	case "compact":
		c := r.Compaction
		f.add("a million of which most was settled: queue.db, and what of it a compaction frees", "%d MB, %d MB", c.Length>>20, c.Free>>20)
		f.add("the same: max_bytes that still accepts", "%s", accepted(c.Full))
		f.add("slowest accept of many in as much time without a compaction", "%.2f s", c.Before.Seconds())
		f.add("slowest accept while queue.db is compacted", "%.2f s, %.2f s a GB", c.Slowest.Seconds(), c.Slowest.Seconds()*float64(1<<30)/float64(max(c.Length, 1)))
		f.add("compaction", "%.1f s, accepted meanwhile %d, refused %d; then %d MB", c.Took.Seconds(), c.Accepted, c.Refused, c.Then>>20)
	case "drain":
		f.add("drain of a million", "%.1f s", r.Drain.Seconds())
		f.add("drained: queue.db", "%d MB, at most %d MB", r.Database>>20, r.Largest>>20)
		f.add("drained: journal", "%d MB", r.Journal>>20)
		f.add("drained: next message", "%s", accepted(r.Refused))
	}
}

func accepted(refused string) string {
	if refused == "" {
		return "accepted"
	}
	return "refused: " + refused
}

// print writes the tables and the line for machines.
func (f *figures) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(f.throughput) > 0 {
		fmt.Fprintln(w, "\nthe store alone, 10 KB bodies\toperations/s\tCPU µs each\twritten octets each\t")
	}
	for _, m := range f.throughput {
		fmt.Fprintf(w, "%s\t%.0f\t%.1f\t%.0f\t\n", m.name, m.values["op/s"], m.values["cpu-µs/op"], m.values["written-B/op"])
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
	pair, appended, rows := f.find("accept+settle/writers=50"), f.find("append/writers=50"), f.find("rows/writers=50")
	const rate = "op/s"
	return fmt.Sprintf("bench-store: anon_mb_1m=%s anon_mb_10m=%s start_s_1m=%s start_s_10m=%s "+
		"settle_per_s=%s vs_append=%s vs_bbolt=%s cpu_us=%s write_amp=%s",
		f.megabytes("1m"), f.megabytes("10m"), f.seconds("1m"), f.seconds("10m"),
		number("%.0f", pair[rate], 1), number("%.2f", pair[rate], appended[rate]), number("%.2f", pair[rate], rows[rate]),
		number("%.1f", pair["cpu-µs/op"], 1), number("%.2f", pair["written-B/op"], messageBytes+1<<10))
}

func (f *figures) find(name string) map[string]float64 {
	for _, m := range f.throughput {
		if m.name == name {
			return m.values
		}
	}
	return nil
}

const unmeasured = "n/a"

func number(format string, value, by float64) string {
	if value == 0 || by == 0 {
		return unmeasured
	}
	return fmt.Sprintf(format, value/by)
}

func (f *figures) megabytes(name string) string {
	if f.anonymous[name] == 0 {
		return unmeasured
	}
	return fmt.Sprintf("%d", (f.anonymous[name]-f.idle)>>20)
}

func (f *figures) seconds(name string) string {
	return number("%.2f", f.start[name].Seconds(), 1)
}

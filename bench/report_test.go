package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/bench/gauge"
)

// fake is a system that is never started.
type fake struct {
	called string
	cannot string
}

func (f *fake) name() string            { return f.called }
func (f *fake) can(job) (bool, string)  { return f.cannot == "", f.cannot }
func (f *fake) header(job) string       { return "" }
func (f *fake) check(job, []byte) error { return nil }

func (f *fake) start(context.Context, string, job, int) (instance, error) { return nil, nil }

func measured(accept, deliver float64, cpu time.Duration, peak int64) figures {
	return figures{acceptRate: accept, deliverRate: deliver, cpu: cpu, memory: gauge.Memory{Peak: peak, Anonymous: peak}}
}

// TestReport proves that the last line has the medians of the work to twenty
// domains, and ratios taken round by round.
func TestReport(t *testing.T) {
	var out strings.Builder
	ours, theirs := &fake{called: "postrider"}, &fake{called: "postfix"}
	r := newReport(&out, jobs(), []system{ours, theirs})
	plain, signed := jobs()[1], jobs()[3]
	for _, rate := range []float64{1000, 3000, 2000} {
		r.add(ours, plain, measured(rate+100, rate, 200*time.Microsecond, 50e6))
		r.add(theirs, plain, measured(rate, rate/5, 3*time.Millisecond, 1))
	}
	r.add(ours, signed, measured(900, 800, 2*time.Millisecond, 70e6))
	r.add(theirs, signed, measured(900, 200, 8*time.Millisecond, 1))
	r.print()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	const want = "bench: accept_per_s=2100 deliver_per_s=2000 deliver_dkim_per_s=800 cpu_ms=0.200 cpu_ms_dkim=2.000 peak_mb=70 postfix_ratio=5.0 postfix_dkim_ratio=4.0"
	if last := lines[len(lines)-1]; last != want {
		t.Errorf("got\n%s\nwant\n%s", last, want)
	}
	for _, text := range []string{"2000 (1000-3000)", "20 domains, signed: delivered at 4.0 times"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("no %q in\n%s", text, out.String())
		}
	}
}

// TestReportAlone proves that what was not measured is said so.
func TestReportAlone(t *testing.T) {
	var out strings.Builder
	ours := &fake{called: "postrider"}
	r := newReport(&out, jobs()[1:2], []system{ours, &fake{called: "postfix", cannot: "Postfix is not installed"}})
	r.add(ours, jobs()[1], measured(2, 1, time.Millisecond, 1e6))
	r.print()
	const want = "bench: accept_per_s=2 deliver_per_s=1 deliver_dkim_per_s=n/a cpu_ms=1.000 cpu_ms_dkim=n/a peak_mb=1 postfix_ratio=n/a postfix_dkim_ratio=n/a\n"
	if !strings.HasSuffix(out.String(), want) || !strings.Contains(out.String(), "not compared with postfix: Postfix is not installed") {
		t.Error(out.String())
	}
}

func TestMedian(t *testing.T) {
	for want, all := range map[float64][]float64{3: {3}, 2: {3, 1, 2}, 2.5: {4, 1, 3, 2}} {
		if got := median(all); got != want {
			t.Errorf("%v: %v", all, got)
		}
	}
}

func TestChoose(t *testing.T) {
	if all, err := choose(""); err != nil || len(all) != 4 {
		t.Error(all, err)
	}
	if some, err := choose("signed-20,plain-1"); err != nil || len(some) != 2 || !some[0].signed || some[1].domains != 1 {
		t.Error(some, err)
	}
	if _, err := choose("plain-2"); err == nil {
		t.Error("an unknown job passed")
	}
}

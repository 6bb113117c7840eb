package tlsreport

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider-mta/postrider/internal/mail"
)

// The clock of a bubble begins at midnight UTC.

func TestOneReportADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r := reporter(t, w.options(t))
		stop := run(t, r)
		defer stop()
		for range 3 {
			r.Record(good())
		}
		r.Record(bad())
		r.Record(Session{Domain: "example.org"})
		r.Record(Session{Domain: "silent.example"})
		time.Sleep(24*time.Hour + 2*time.Hour - time.Minute)
		if letters, posts := w.sent(); letters != 0 || posts != 0 {
			t.Errorf("sent before its time: %d letters, %d posts", letters, posts)
		}
		time.Sleep(3 * time.Minute)
		if letters, posts := w.sent(); letters != 1 || posts != 1 || w.lookups() != 3 {
			t.Fatalf("%d letters, %d posts, %d look-ups", letters, posts, w.lookups())
		}
		report := unzip(t, w.posts["https://tls.example.org/v1?key=s3cret"][0])
		want := Report{
			Organization: "Example Ltd.", Contact: "postmaster@example.com", ID: "20000101.0123456789abcdef@mail.example.com",
			DateRange: DateRange{time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2000, 1, 1, 23, 59, 59, 0, time.UTC)},
			Policies:  []PolicyResult{{Policy: ReportedPolicy{Type: NoPolicyFound, Domain: "example.org"}, Summary: Summary{Successful: 1}}},
		}
		if !reflect.DeepEqual(report, want) {
			t.Errorf("got  %+v\nwant %+v", report, want)
		}
		time.Sleep(48 * time.Hour)
		if letters, posts := w.sent(); letters != 1 || posts != 1 {
			t.Errorf("sent again: %d letters, %d posts", letters, posts)
		}
	})
}

func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		o := w.options(t)
		next := 0.0
		o.Random = func() float64 { next += 0.1; return next - 0.1 }
		r := reporter(t, o)
		for i := range 10 {
			name := fmt.Sprintf("d%d.example", i)
			w.records["_smtp._tls."+name] = []string{"v=TLSRPTv1;rua=https://" + name}
			r.Record(Session{Domain: mail.Domain(name)})
		}
		stop := run(t, r)
		defer stop()
		time.Sleep(24*time.Hour + 30*time.Second)
		for hour := range 4 {
			_, before := w.sent()
			time.Sleep(time.Hour)
			if _, after := w.sent(); after-before < 2 || after-before > 3 {
				t.Errorf("%d reports in hour %d", after-before, hour)
			}
		}
	})
}

func TestTriedForADay(t *testing.T) {
	for _, what := range []string{"dns", "mail", "https"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				o := w.options(t)
				o.Metrics = prometheus.NewRegistry()
				r := reporter(t, o)
				domain := mail.Domain("example.net")
				if what == "https" {
					domain = "example.org"
				}
				r.Record(Session{Domain: domain})
				w.fail(what, true)
				stop := run(t, r)
				defer stop()
				time.Sleep(24*time.Hour + 20*time.Hour) // 18 hours after the first attempt
				tried := w.lookups()
				if tried < 5 || tried > 12 {
					t.Errorf("%d attempts", tried)
				}
				r.mu.Lock()
				waiting := len(r.waiting)
				r.mu.Unlock()
				if waiting != 1 {
					t.Fatalf("%d wait", waiting)
				}
				time.Sleep(12 * time.Hour)
				r.mu.Lock()
				waiting, size := len(r.waiting), r.size
				r.mu.Unlock()
				if waiting != 0 || size != 0 || testutil.ToFloat64(r.metrics.ended.WithLabelValues(endedExpired)) != 1 {
					t.Errorf("%d wait after a day, %d octets", waiting, size)
				}
			})
		})
	}
}

func TestRetrySucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.records["_smtp._tls.example.net"] = []string{"v=TLSRPTv1;rua=mailto:tls@example.net,https://tls.example.net/"}
		r := reporter(t, w.options(t))
		r.Record(good())
		w.fail("mail", true)
		w.fail("https", true)
		stop := run(t, r)
		defer stop()
		time.Sleep(27 * time.Hour)
		w.fail("https", false)
		time.Sleep(10 * time.Hour)
		// One of the two took it: that is enough.
		if letters, posts := w.sent(); letters != 0 || posts != 1 {
			t.Errorf("%d letters, %d posts", letters, posts)
		}
		if text := w.log.String(); strings.Contains(text, "tls@") || !strings.Contains(text, "broken for the test") {
			t.Errorf("logged %s", text)
		}
	})
}

func TestCountsSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		o := w.options(t)
		o.Path = filepath.Join(t.TempDir(), "tlsreport.json")
		first := reporter(t, o)
		stop := run(t, first)
		first.Record(good())
		first.Record(bad())
		time.Sleep(6 * time.Minute) // saved by time, as before a crash
		crashed := reporter(t, o)
		stop()
		crashed.Record(bad())
		stop = run(t, crashed)
		time.Sleep(24*time.Hour + 10*time.Minute) // the report waits
		crashed.Record(good())
		stop()
		second := reporter(t, o)
		stop = run(t, second)
		time.Sleep(3 * time.Hour)
		stop()
		if letters, _ := w.sent(); letters != 1 {
			t.Fatalf("%d letters", letters)
		}
		summary := second.domains["example.net"].results("")[0].Summary
		if summary != (Summary{1, 0}) {
			t.Errorf("today: %+v", summary)
		}
		_, zipped := parseLetter(t, w.letters["tls@example.net"][0])
		if got := unzip(t, zipped).Policies[0]; got.Summary != (Summary{1, 2}) || len(got.Failures) != 1 || got.Failures[0].Sessions != 2 {
			t.Errorf("yesterday: %+v", got)
		}
		if files, _ := filepath.Glob(o.Path + "*"); len(files) != 1 {
			t.Errorf("left over: %v", files)
		}
		if info, err := os.Stat(o.Path); err != nil || info.Mode().Perm() != 0o600 {
			t.Error(info.Mode(), err)
		}
	})
}

func TestReportOfLongAgoIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		o := w.options(t)
		o.Path = filepath.Join(t.TempDir(), "tlsreport.json")
		r := reporter(t, o)
		r.Record(good())
		if err := r.save(true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * 24 * time.Hour)
		stop := run(t, reporter(t, o))
		time.Sleep(5 * time.Hour)
		stop()
		if letters, _ := w.sent(); letters != 0 {
			t.Error("sent after a week")
		}
	})
}

func TestBrokenFileIsSetAside(t *testing.T) {
	for name, content := range map[string]string{
		"no JSON": "{", "other version": `{"version":2,"day":"2026-01-01T00:00:00Z"}`, "empty": "", "no day": `{"version":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			o := w.options(t)
			o.Path = filepath.Join(t.TempDir(), "tlsreport.json")
			if err := os.WriteFile(o.Path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			r := reporter(t, o)
			aside, _ := filepath.Glob(o.Path + ".broken-*")
			if len(aside) != 1 || !strings.Contains(w.log.String(), "set aside") {
				t.Errorf("%v, log %s", aside, w.log.String())
			}
			r.Record(good())
			if err := r.save(true); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFileThatCannotBeWritten(t *testing.T) {
	w := newWorld()
	o := w.options(t)
	o.Path = filepath.Join(t.TempDir(), "none", "tlsreport.json")
	r := reporter(t, o)
	r.Record(good())
	if err := r.save(true); err == nil || !r.dirty {
		t.Error("no error, or taken for saved")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	w := newWorld()
	o := w.options(t)
	o.MaxDomains, o.MaxMemory = 100, 50_000
	r := reporter(t, o)
	for i := range 300 {
		s := bad()
		s.Domain = mail.Domain(fmt.Sprintf("d%d.example", i%200))
		s.Policy.Strings = append(s.Policy.Strings, strings.Repeat(fmt.Sprint(i), 1000))
		s.Failures[0].Reason = fmt.Sprint("reason ", i)
		r.Record(s)
	}
	if r.size > o.MaxMemory || len(r.domains) > 100 || len(r.domains) < 5 {
		t.Errorf("%d octets, %d domains", r.size, len(r.domains))
	}
	if testutil.ToFloat64(r.metrics.lost.WithLabelValues("domain")) == 0 || testutil.ToFloat64(r.metrics.lost.WithLabelValues("policy")) == 0 {
		t.Error("nothing is counted as lost")
	}
	one := newTally()
	for i := range 1000 {
		s := bad()
		s.Failures[0].Reason = fmt.Sprint("reason ", i)
		s = s.clean()
		one.add(&s, 1<<30)
		s.Policy.Domain, s.Failures = mail.Domain(fmt.Sprintf("d%d.example", i)), nil
		one.add(&s, 1<<30)
	}
	if n := len(one.policies); n != maxPolicies {
		t.Errorf("%d policies", n)
	}
	if got := one.results("example.net"); len(got[len(got)-1].Failures) != maxDetails || got[len(got)-1].Summary.Failed != 1000 {
		t.Errorf("%d kinds of failures, %+v", len(got[len(got)-1].Failures), got[len(got)-1].Summary)
	}
}

func TestWhatServersSayIsCleaned(t *testing.T) {
	s := Session{
		Domain: "example.net", Policy: Policy{Type: STS, Strings: slices.Repeat([]string{"mx: a"}, 1000)},
		Failures: []Failure{{
			MXHost: "MX." + strings.Repeat("x", 1000), MXHelo: "mx\r\nEHLO\x00 jane@example.net",
			Reason:      "550 <jane@example.net>... \xff " + strings.Repeat("é", 1000),
			SendingIP:   netip.MustParseAddr("fe80::1%eth0"),
			Information: "https://example.net/?who=jane@example.net",
		}},
	}
	got := s.clean()
	f := got.Failures[0]
	if got.Policy.Domain != "example.net" || len(got.Policy.Strings) != maxStrings || f.Result != ValidationFailure {
		t.Errorf("%+v", got.Policy)
	}
	if len(f.MXHost) != maxHost || f.MXHelo != "mx EHLO (address)" || f.SendingIP.Zone() != "" || f.Information != "(address)" {
		t.Errorf("%+v", f)
	}
	if !strings.HasPrefix(f.Reason, "550 (address) ? éé") || len(f.Reason) > maxWords {
		t.Errorf("%q", f.Reason)
	}
	again := got.clean()
	if !reflect.DeepEqual(again, got) {
		t.Error("cleaning twice changes more")
	}
}

func TestDomainsWithoutReports(t *testing.T) {
	w := newWorld()
	r := reporter(t, w.options(t))
	for _, d := range []mail.Domain{"", "[192.0.2.1]", mail.Domain(strings.Repeat("a.", 122) + "example")} {
		r.Record(Session{Domain: d})
	}
	if len(r.domains) != 0 {
		t.Errorf("%d domains", len(r.domains))
	}
}

func TestClockThatGoesBack(t *testing.T) {
	w := newWorld()
	r := reporter(t, w.options(t))
	r.Record(good())
	r.mu.Lock()
	defer r.mu.Unlock()
	day := r.day
	r.roll(day.Add(-time.Hour))
	if len(r.domains) != 1 || !r.day.Equal(day) {
		t.Error("counts were lost")
	}
}

func TestWrongOptions(t *testing.T) {
	w := newWorld()
	for name, change := range map[string]func(*Options){
		"organization": func(o *Options) { o.Organization = "" },
		"from":         func(o *Options) { o.From = mail.Address{} },
		"from UTF-8":   func(o *Options) { o.From = address(t, "é@example.com") },
		"lookup":       func(o *Options) { o.Lookup = nil },
		"submit":       func(o *Options) { o.Submit = nil },
	} {
		o := w.options(t)
		change(&o)
		if _, err := New(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzState holds that no file makes New fail in another way than by saying so,
// and that what it takes fits the bounds and can be written again.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"day":"2026-07-01T00:00:00Z","domains":[{"domain":"example.net","policies":[{"type":"sts","domain":"example.net","successful":3,"failed":1,"details":[{"result":"certificate-expired","sessions":1,"sending_ip":"192.0.2.1"}]}]}],"waiting":[{"domain":"example.org","policies":[],"day":"2026-06-30T00:00:00Z","id":"x","due":"2026-07-01T01:00:00Z"}]}`))
	f.Add([]byte(`{"version":1,"day":"2026-07-01T00:00:00Z","domains":[{"domain":"example.net"},{"domain":"example.net"}]}`))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseState(data)
		if err != nil {
			return
		}
		w := newWorld()
		o := w.options(t)
		o.MaxDomains, o.MaxMemory = 5, 5000
		r := reporter(t, o)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.restore(s)
		r.roll(time.Now())
		size := 0
		for _, t := range r.domains {
			size += t.size
		}
		for _, w := range r.waiting {
			size += w.size
			if _, err := r.report(w).compress(); err != nil {
				t.Fatal(err)
			}
		}
		if size != r.size || size > o.MaxMemory || len(r.domains) > 5 || len(r.waiting) > 5 {
			t.Fatalf("%d octets counted, %d there, %d domains, %d reports", r.size, size, len(r.domains), len(r.waiting))
		}
	})
}

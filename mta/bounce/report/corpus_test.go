package report_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/report"
)

// corpus returns the folder of the test material or skips the test.
func corpus(t *testing.T) string {
	t.Helper()
	root := os.Getenv("POSTRIDER_CORPUS")
	if root == "" {
		root = filepath.Join(module(t), "..", "shared", "corpus")
	}
	if _, err := os.Stat(filepath.Join(root, "bounces")); err != nil {
		t.Skipf("no corpus at %s: set POSTRIDER_CORPUS", root)
	}
	return root
}

// module returns the folder of go.mod.
func module(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod")
	return ""
}

// expectation is what others read of a sample.
type expectation struct {
	File, Kind string
	DSN        []struct {
		FinalRecipient    string `json:"final_recipient"`
		OriginalRecipient string `json:"original_recipient"`
		Action, Status    string
		DiagnosticCode    string `json:"diagnostic_code"`
		RemoteMTA         string `json:"remote_mta"`
	} `json:"dsn_fields"`
	ARF    map[string]string `json:"arf_fields"`
	Labels []struct {
		Recipient, Action string
		HardBounce        bool
	}
}

// samples reads every message of the corpus and what is expected of it.
func samples(t *testing.T, expected []expectation) map[string]report.Report {
	t.Helper()
	folder := filepath.Join(corpus(t), "bounces", "messages")
	reports := make(map[string]report.Report)
	for _, e := range expected {
		message, err := os.ReadFile(filepath.Join(folder, e.File))
		if err != nil {
			t.Fatal(err)
		}
		if reports[e.File], err = parser().Parse(message); err != nil {
			t.Errorf("%s: %v", e.File, err)
		}
	}
	return reports
}

func expectations(t *testing.T) []expectation {
	t.Helper()
	file, err := os.Open(filepath.Join(corpus(t), "bounces", "expected.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []expectation
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e expectation
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	if err := lines.Err(); err != nil || len(all) < 100 {
		t.Fatalf("%d expectations, %v", len(all), err)
	}
	return all
}

// TestCorpus reads what others have read before.
func TestCorpus(t *testing.T) {
	expected := expectations(t)
	reports := samples(t, expected)
	t.Run("fields", func(t *testing.T) { testCorpusFields(t, reports, expected) })
	t.Run("strength", func(t *testing.T) { testCorpusStrength(t, reports, expected) })
	t.Run("suppresses no one", func(t *testing.T) { testCorpusSuppressesNoOne(t, reports, expected) })
}

// testCorpusFields compares every field of a standard report with what another
// parser read, and ours of complaints too.
func testCorpusFields(t *testing.T, reports map[string]report.Report, expected []expectation) {
	recipients, complaints := 0, 0
	for _, e := range expected {
		r := reports[e.File]
		switch e.Kind {
		case "dsn-rfc3464":
			if r.Kind != report.DSN || !r.Standard || len(r.Recipients) < len(e.DSN) { // the other parser reads one recipient a group
				t.Errorf("%s: %s with %d recipients, want %d", e.File, r.Kind, len(r.Recipients), len(e.DSN))
				continue
			}
			for i, want := range e.DSN {
				recipients++
				got := r.Recipients[i]
				status := strings.TrimSpace(got.Status + " " + got.StatusComment)
				if got.FinalRecipient != want.FinalRecipient || got.OriginalRecipient != want.OriginalRecipient || string(got.Action) != want.Action || status != want.Status || got.RemoteMTA != want.RemoteMTA {
					t.Errorf("%s: %+v, want %+v", e.File, got, want)
				}
				if named := want.FinalRecipient + " " + want.OriginalRecipient; !strings.Contains(named, got.Address) || got.Address == "" {
					t.Errorf("%s: address %q", e.File, got.Address)
				}
				if want.DiagnosticCode != "" && words(got.Diagnostic) != words(want.DiagnosticCode) && !strings.HasSuffix(want.DiagnosticCode, ";") && len(got.Diagnostic) < 2000 {
					t.Errorf("%s: diagnostic %q, want %q", e.File, got.Diagnostic, want.DiagnosticCode)
				}
			}
		case "arf":
			complaints++
			if r.Kind != report.ARF || r.Feedback == nil {
				t.Errorf("%s: %s", e.File, r.Kind)
				continue
			}
			for name, want := range e.ARF {
				if got := r.Feedback.Fields.Get(name); words(got) != words(want) {
					t.Errorf("%s: %s is %q, want %q", e.File, name, got, want)
				}
			}
		}
	}
	if recipients < 100 || complaints < 5 {
		t.Errorf("only %d recipients and %d complaints compared", recipients, complaints)
	}
}

// words makes text comparable however it was folded.
func words(text string) string { return strings.Join(strings.Fields(text), "") }

// testCorpusStrength holds agreement with the labels at 95 %, and the list of
// disagreements in the documentation to what is found.
func testCorpusStrength(t *testing.T, reports map[string]report.Report, expected []expectation) {
	listed := disagreements(t)
	total, disagree := 0, 0
	for _, e := range expected {
		r := reports[e.File]
		differs := false
		for i, label := range e.Labels {
			if label.Action == "" {
				continue // an automatic reply or a complaint
			}
			total++
			if one := find(r, label.Recipient, i); one == nil || (one.Bounce == report.Hard) != label.HardBounce {
				disagree++
				differs = true
			}
		}
		if _, known := listed[e.File]; differs != known {
			t.Errorf("%s: disagrees %t, listed in docs/bounces.md %t", e.File, differs, known)
		}
	}
	if agreement := 100 - 100*float64(disagree)/float64(total); total < 200 || agreement < 95 {
		t.Errorf("%d of %d disagree: %.1f %% agreement", disagree, total, agreement)
	} else {
		t.Logf("%d of %d agree: %.1f %%", total-disagree, total, agreement)
	}
	for file, reason := range listed {
		if _, known := reports[file]; !known || len(reason) < 20 {
			t.Errorf("docs/bounces.md lists %s with the reason %q", file, reason)
		}
	}
}

// find returns the recipient of a label; where a standard report has no address
// of that spelling, the one at its place.
func find(r report.Report, address string, at int) *report.Recipient {
	i := slices.IndexFunc(r.Recipients, func(one report.Recipient) bool {
		return strings.EqualFold(strings.ReplaceAll(one.Address, `"`, ""), address)
	})
	switch {
	case i >= 0:
		return &r.Recipients[i]
	case r.Standard && at < len(r.Recipients):
		return &r.Recipients[at]
	}
	return nil
}

// disagreements reads the table in the documentation: file and reason.
func disagreements(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(module(t), "docs", "bounces.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+\\.(?:eml|txt|raw))` \\| (.+) \\|$").FindAllStringSubmatch(string(text), -1) {
		listed[row[1]] = row[2]
	}
	return listed
}

// testCorpusSuppressesNoOne: whatever is no bounce, and whatever bounce does
// not end at the address, has no effect on it.
func testCorpusSuppressesNoOne(t *testing.T, reports map[string]report.Report, expected []expectation) {
	for _, e := range expected {
		r := reports[e.File]
		bounced := slices.ContainsFunc(e.Labels, func(l struct {
			Recipient, Action string
			HardBounce        bool
		},
		) bool {
			return l.Action != ""
		})
		for _, one := range r.Recipients {
			if one.Suppresses && (r.Kind != report.DSN || one.Action != bounce.Failed || one.Bounce != report.Hard || strings.Contains(one.Status, ".7.")) {
				t.Errorf("%s: %+v suppresses", e.File, one)
			}
			if one.Suppresses && e.Kind != "dsn-rfc3464" && len(e.Labels) > 0 && !bounced {
				t.Errorf("%s: no bounce, and suppresses", e.File)
			}
		}
	}
}

// TestCorpusMail reads ordinary mail: next to none of it is a report, and none
// suppresses anybody unless it is a delivery status notification.
func TestCorpusMail(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus(t), "mime", "eml", "*"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	wordy := 0
	for _, file := range files {
		message, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := parser().Parse(message)
		if err != nil {
			continue
		}
		if r.Kind == report.DSN && !r.Standard && !strings.Contains(strings.ToLower(r.Header.Get("From")), "mailer-daemon") {
			wordy++
		}
		for _, one := range r.Recipients {
			if one.Suppresses && r.Sign != "message/delivery-status" {
				t.Errorf("%s suppresses: %s", filepath.Base(file), r.Sign)
			}
		}
	}
	if wordy > 0 {
		t.Errorf("%d of %d ordinary messages taken for bounces", wordy, len(files))
	}
}

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

func suppressAnswers() map[string]any {
	old := time.Now().Add(-3 * time.Hour)
	all := []api.Suppression{
		{Tenant: "shop", Address: "a@example.net", Reason: "hard_bounce", Time: old, Source: "m-1-1-bounced"},
		{Tenant: "shop", Stream: "marketing", Address: "a@example.net", Reason: "unsubscribed", Time: old},
		{Tenant: "*", Hash: "keyed:01020304:000102030405060708090a0b0c0d0e0f", Reason: "manual", Time: old, Expires: time.Now().Add(time.Hour + 30*time.Second)},
	}
	return map[string]any{
		"/v1/suppressions/check":  api.SuppressionVerdict{Suppressed: true, Reason: "hard_bounce", Suppressions: all},
		"/v1/suppressions":        api.SuppressionAdded{Added: true},
		"/v1/suppressions/remove": api.SuppressionsRemoved{Suppressions: all[:1]},
		"/v1/suppressions/list":   api.SuppressionPage{Suppressions: all, Next: "more"},
		"/v1/suppressions/import": api.SuppressionsImported{Added: 1200, Known: 3, Expired: 1},
		"/v1/suppressions/export": map[string]string{"address": "a@example.net"},
	}
}

// TestSuppressOutput holds what the commands print and ask.
func TestSuppressOutput(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list.jsonl")
	if err := os.WriteFile(list, []byte(`{"address":"a@example.net"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, line := range map[string]string{
		"suppress-check":       "suppress check --tenant shop a@example.net",
		"suppress-check-one":   "suppress check --stream marketing a@example.net",
		"suppress-add":         "suppress add --tenant shop --stream marketing --expires 1h a@example.net",
		"suppress-add-hash":    "suppress add --all-tenants 0123456789abcdef0123456789abcdef",
		"suppress-remove":      "suppress remove --tenant shop --reason hard_bounce a@example.net",
		"suppress-list":        "suppress list --limit 3",
		"suppress-list-traps":  "suppress list --all-tenants --reason manual --limit 3",
		"suppress-import":      "suppress import --tenant shop --reason unsubscribed " + list,
		"suppress-import-pipe": "suppress import --all-tenants --format csv -",
		"suppress-export":      "suppress export --tenant shop --stream marketing",
	} {
		var text strings.Builder
		for _, format := range [][]string{nil, {"--json"}} {
			d := newDaemon(t, suppressAnswers())
			got := typed(t, "b@example.net\n", append(append([]string{"--socket", d.socket}, format...), strings.Fields(line)...)...)
			if got.status != 0 || got.errors != "" {
				t.Errorf("%s: %d %s", line, got.status, got.errors)
			}
			text.WriteString("$ postrider " + strings.TrimSpace(strings.Join(format, "")+" "+line) + "\n" + got.out)
			for _, asked := range d.asked {
				text.WriteString("> " + asked + "\n")
			}
		}
		shown := regexp.MustCompile(`"expires": ?"[^"]+"`).ReplaceAllString(text.String(), `"expires": "TIME"`)
		golden(t, name+".txt", strings.ReplaceAll(timeless(shown), list, "list.jsonl"))
	}
}

// TestSuppressVerdicts holds the words for each answer.
func TestSuppressVerdicts(t *testing.T) {
	some := []api.Suppression{{Tenant: "shop", Stream: "marketing", Address: "a@example.net", Reason: "manual"}}
	for _, test := range []struct {
		line   string
		answer api.SuppressionVerdict
		want   string
	}{
		{"a@example.net", api.SuppressionVerdict{}, "mailed\n"},
		{"a@example.net", api.SuppressionVerdict{Suppressions: some}, "mailed on some streams\n"},
		{"a@example.net --stream digest", api.SuppressionVerdict{Suppressions: some}, "mailed\n"},
		{"a@example.net --stream marketing", api.SuppressionVerdict{Suppressed: true, Reason: "manual"}, "not mailed on marketing: manual\n"},
	} {
		d := newDaemon(t, map[string]any{"/v1/suppressions/check": test.answer})
		got := typed(t, "", append([]string{"--socket", d.socket, "suppress", "check"}, strings.Fields(test.line)...)...)
		if first := strings.SplitAfter(got.out, "\n")[0]; got.status != 0 || first != test.want {
			t.Errorf("%s: %+v", test.line, got)
		}
	}
}

// TestSuppressImportReports proves that lines that were refused are told of,
// with an exit status.
func TestSuppressImportReports(t *testing.T) {
	d := newDaemon(t, map[string]any{"/v1/suppressions/import": api.SuppressionsImported{
		Added: 1, Refused: 3, Problems: []api.LineProblem{{Line: 7, Problem: "invalid address: no @"}},
	}})
	got := typed(t, "x", "--socket", d.socket, "suppress", "import", "-")
	const want = "1 added, 0 known already\nline 7: invalid address: no @\nand 2 lines more\n"
	if got.status != 1 || got.out != want || got.errors != "postrider: 3 lines could not be read\n" {
		t.Errorf("%+v", got)
	}
	if got := typed(t, "", "suppress", "import", filepath.Join(t.TempDir(), "none")); got.status != 1 || !strings.Contains(got.errors, "open ") {
		t.Errorf("%+v", got)
	}
}

// TestProgress proves what a terminal is shown, and that nothing else is.
func TestProgress(t *testing.T) {
	for size, want := range map[int64]string{0: "1.0 MB read", 4_000_000: "25 % of 4.0 MB"} {
		var screen bytes.Buffer
		p := &progress{from: bytes.NewReader(make([]byte, 1_000_000)), to: &screen, size: size}
		if n, err := p.Read(make([]byte, 2_000_000)); n != 1_000_000 || err != nil {
			t.Fatal(n, err)
		}
		p.end()
		if got := screen.String(); got != "\r"+want+"\x1b[K\r\x1b[K" {
			t.Errorf("%q", got)
		}
	}
	if p := (&environment{errors: &bytes.Buffer{}}).progressOf(nil, 0); p.to != nil {
		t.Error("a file is no terminal")
	}
}

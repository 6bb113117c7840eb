package shape

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

const docs = "../../docs/providers.md"

// TestDocsListWhatIsShipped holds the tables of the operator's page.
func TestDocsListWhatIsShipped(t *testing.T) {
	page, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	providers := shipped(t)
	for name, want := range map[string]string{
		"providers": providerTable(providers),
		"rules":     ruleTable(providers),
		"actions":   words(actions()),
		"category":  strings.Join(categories(), ", "),
	} {
		if !strings.Contains(squeeze(string(page)), squeeze(want)) {
			t.Errorf("%s has other %s than providers.toml:\n%s", docs, name, want)
		}
	}
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func providerTable(providers *Providers) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| provider | who | mail exchangers | connections | messages each | rate |\n|---|---|---|---|---|---|")
	for _, p := range providers.All() {
		rate := "-"
		if p.Limits.Rate.Messages > 0 {
			rate = p.Limits.Rate.String()
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %d | %d | %s |\n",
			p.Name, p.Title, strings.Join(p.MX, ", "), p.Limits.Connections, p.Limits.MessagesPerConnection, rate)
	}
	return b.String()
}

func ruleTable(providers *Providers) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| rule | does | when |\n|---|---|---|")
	for _, p := range providers.All() {
		for _, r := range p.Rules {
			describeRule(&b, r)
		}
	}
	for _, r := range providers.General() {
		describeRule(&b, r)
	}
	return b.String()
}

func describeRule(b *strings.Builder, r Rule) {
	var does []string
	for _, action := range r.Actions {
		said := string(action)
		if action.lasts() {
			said += " for " + short(r.For.String())
		}
		if action.lasts() && r.After > 1 {
			said += fmt.Sprintf(" after %d in %s", r.After, short(r.Within.String()))
		}
		does = append(does, said)
	}
	fmt.Fprintf(b, "| `%s` | %s | %s |\n", r.String(), strings.Join(does, ", "), r.Reason)
}

// short leaves the zeros out of a duration.
func short(s string) string {
	if rest, ok := strings.CutSuffix(s, "m0s"); ok {
		s = rest + "m"
	}
	if rest, ok := strings.CutSuffix(s, "h0m"); ok {
		s = rest + "h"
	}
	return s
}

// TestDocsExamples takes every file that the page shows.
func TestDocsExamples(t *testing.T) {
	page, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(examples) < 2 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, example := range examples {
		if _, err := shipped(t).Override("example", example[1]); err != nil {
			t.Errorf("%s\n%v", example[1], err)
		}
	}
}

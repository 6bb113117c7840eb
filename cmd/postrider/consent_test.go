package main

import (
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// TestConsentOutput holds what the commands print and ask.
func TestConsentOutput(t *testing.T) {
	old := time.Now().Add(-3 * time.Hour)
	all := []api.Consent{
		{Tenant: "shop", Address: "a@example.net", Measure: "hygiene", By: "tenant", Time: old, Source: "form"},
		{Tenant: "shop", Measure: "none", By: "erased", Time: old},
	}
	answers := map[string]any{
		"/v1/consents/check":    api.ConsentVerdict{Measure: "hygiene", Consents: all[:1], LastOpen: "2026-05-01"},
		"/v1/consents":          all[0],
		"/v1/consents/remove":   api.ConsentRemoved{Removed: true},
		"/v1/consents/list":     api.ConsentPage{Consents: all, Next: "more"},
		"/v1/consents/unopened": api.Unopened{Addresses: []string{"b@example.net"}},
	}
	for name, line := range map[string]string{
		"consent-check":    "consent check --tenant shop a@example.net",
		"consent-set":      "consent set --tenant shop --source form a@example.net hygiene",
		"consent-remove":   "consent remove --tenant shop --by reader a@example.net",
		"consent-list":     "consent list --tenant shop --limit 2",
		"consent-unopened": "consent unopened --tenant shop --since 2026-05-01",
	} {
		var text strings.Builder
		for _, format := range [][]string{nil, {"--json"}} {
			d := newDaemon(t, answers)
			got := typed(t, "b@example.net\n", append(append([]string{"--socket", d.socket}, format...), strings.Fields(line)...)...)
			if got.status != 0 || got.errors != "" {
				t.Errorf("%s: %d %s", line, got.status, got.errors)
			}
			text.WriteString("$ postrider " + strings.TrimSpace(strings.Join(format, "")+" "+line) + "\n" + got.out)
			for _, asked := range d.asked {
				text.WriteString("> " + asked + "\n")
			}
		}
		golden(t, name+".txt", timeless(text.String()))
	}
}

package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/testmx"
)

// TestRulesForBulkMail enforces rules with the keys and the tracker that there
// are, and lets a reload be lenient.
func TestRulesForBulkMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.domain("reader.example", testmx.Options{})
	enforced := settings{rest: `[[tenant]]
name = "default"
[[tenant.stream]]
name = "marketing"
checks = "enforce"
` + w.signs("sender.example")}
	w.start(enforced)
	send := func(message string) error {
		c := w.connect()
		defer c.conn.Close()
		_, err := c.send(sender, []string{"reader@reader.example"}, []byte(message))
		return err
	}
	const marketing = "X-Postrider-Stream: marketing"
	from := func(message, address string) string { return strings.Replace(message, sender, address, 1) }
	// The tracker adds what one click needs, and a key for the domain signs.
	if err := send(page(marketing)); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct{ message, want string }{
		"half of one click": {page(marketing, "List-Unsubscribe: <https://www.sender.example/leave>"), "bulk rule one_click: List-Unsubscribe-Post is missing"},
		"no key":            {from(page(marketing), "news@stranger.example"), "bulk rule dkim_alignment: there is no DKIM key that aligns with stranger.example"},
		"somebody else":     {from(page(marketing), "news@gmail.com"), "bulk rule impersonation: From is at gmail.com"},
		"two subjects":      {page(marketing, "Subject: first"), "bulk rule single_fields: there are 2 Subject fields"},
	} {
		mustRefuse(t, name, send(test.message), 550, "5.7.1 "+test.want)
		if err := send(strings.Replace(test.message, marketing, "X-Postrider-Stream: transactional", 1)); err != nil {
			t.Errorf("%s on a stream that does not look: %v", name, err)
		}
	}
	file := w.write("news.eml", from(page(), "news@stranger.example"))
	arguments := []string{"check-message", "--config", w.daemon.ConfigFile(), file, "--stream"}
	if out := w.run(append(arguments, "transactional")...); !strings.Contains(out, "dkim_alignment    off") {
		t.Errorf("check-message: %s", out)
	}
	if why := w.fails(append(arguments, "marketing")...); !strings.Contains(why, "refuses such a message") {
		t.Errorf("check-message: %s", why)
	}

	lenient := strings.Replace(w.configuration(enforced), `checks = "enforce"`, `checks = "warn"`, 1)
	w.write("postrider.toml", lenient)
	w.run("reload")
	for range 3 {
		if err := send(from(page(marketing), "news@stranger.example")); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(w.log(), "rule=dkim_alignment"); n != 1 {
		t.Errorf("the log has %d lines of one rule", n)
	}
	_, metrics := w.ask(http.MethodGet, "http://"+w.health+"/metrics", "", "")
	for _, line := range []string{
		`postrider_submission_bulk_findings_total{level="warn",rule="dkim_alignment"} 3`,
		// That of the provider's name is no key of ours either.
		`postrider_submission_bulk_findings_total{level="enforce",rule="dkim_alignment"} 2`,
		`postrider_submission_refused_total{class="5xx",reason="bulk"} 4`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

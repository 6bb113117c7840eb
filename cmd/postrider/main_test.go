package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is what a command did.
type result struct {
	status      int
	out, errors string
}

// typed runs a command line.
func typed(t *testing.T, input string, arguments ...string) result {
	t.Helper()
	var out, errors bytes.Buffer
	status := run(context.Background(), arguments, strings.NewReader(input), &out, &errors)
	return result{status, out.String(), errors.String()}
}

// fakeDaemon answers each path with JSON, or with its failure, and keeps what
// it was sent.
type fakeDaemon struct {
	socket  string
	answers map[string]any
	asked   []string
}

func newDaemon(t *testing.T, answers map[string]any) *fakeDaemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	d := &fakeDaemon{socket: filepath.Join(dir, "s"), answers: answers}
	listener, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(d)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(func() {
		server.Close()
		os.RemoveAll(dir)
	})
	return d
}

// ServeHTTP answers.
func (d *fakeDaemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.asked = append(d.asked, strings.TrimSpace(r.URL.RequestURI()+" "+string(body)))
	encoder := json.NewEncoder(w)
	found, ok := d.answers[r.Method+" "+r.URL.Path]
	if !ok {
		found = d.answers[r.URL.Path]
	}
	switch answer := found.(type) {
	case *api.Error:
		w.WriteHeader(answer.Status)
		_ = encoder.Encode(answer)
	case []api.TraceLine:
		for _, line := range answer {
			_ = encoder.Encode(line)
		}
	case []api.Record:
		for _, record := range answer {
			_ = encoder.Encode(record)
		}
	default:
		_ = encoder.Encode(answer)
	}
}

// golden compares text with a file of testdata; where UPDATE_GOLDEN is set it
// writes the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func answers() map[string]any {
	old := time.Now().Add(-3 * time.Hour)
	reply := &mail.Reply{Code: 451, Enhanced: mail.EnhancedCode{Class: 4, Subject: 7, Detail: 1}, Text: "later"}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const id = "06f2k3m8q0v1c4t5a6b7"
	throttles := []api.Throttle{
		{Site: "b.example", Source: "a", Name: "backoff", Cause: reply, Reason: "421 too many connections", Until: time.Now().Add(5*time.Minute + 30*time.Second)},
		{Site: "b.example", Name: "hold", Reason: "held by the operator"},
	}
	waiting := []api.Recipient{
		{Message: id, Index: 1, Recipient: "a@example.net", Tenant: "shop", Stream: "marketing", Size: 10240, Accepted: old, Attempts: 1, Due: old, LastReply: reply},
		{Message: id, Index: 2, Recipient: "b@example.net", Tenant: "shop", Stream: "marketing", Size: 1, Accepted: old, Leased: true, LastReason: "connection refused"},
		{Message: id, Index: 3, Recipient: "c@example.net", Tenant: "shop", Stream: "marketing", Size: 1, Accepted: old, Due: old, Held: "wrong price"},
	}
	counts := api.SubjectReport{Stores: []api.StoreCount{{Store: "queue", Records: 1}, {Store: "events", Records: 22}}}
	return map[string]any{
		"/v1/version": api.Version{Version: "9.9.9", Go: "go1.99", Started: old},
		"/v1/queues": api.Queues{
			Queues: []api.Queue{
				{Tenant: "shop", Stream: "marketing", Domain: "example.net", Waiting: 1200, Leased: 20, Oldest: old, NextDue: old},
				{Tenant: "shop", Stream: "transactional", Domain: "b.example", Waiting: 1, Oldest: old, Held: true},
				{Tenant: "shop", Stream: "marketing", Domain: "c.example", Waiting: 3, Oldest: old, NextDue: old, Opens: time.Now().Add(2*time.Hour + 30*time.Second)},
			},
			Recipients: 1201, Messages: 1, Fault: "disk full",
		},
		"/v1/sites": []api.Site{
			{Site: "example.net", Queues: 2, Connections: 20, InFlight: 400},
			{Site: "b.example", Queues: 1, Throttles: throttles},
		},
		"/v1/sites/b.example": api.SiteDetail{
			Site:           api.Site{Site: "b.example", Queues: 1, Connections: 2, InFlight: 40, Throttles: throttles},
			MaxConnections: 20, MessagesPerConnection: 100, Rate: "50 in 1m0s",
			Routes: []api.SiteRoute{
				{Source: "a", Hosts: []string{"mx1.b.example", "mx2.b.example"}, Connections: 2, Idle: 1, InFlight: 40, Queues: 1, LastFailure: "421 busy"},
				{Source: "b", Hosts: []string{"mx3.b.example"}},
			},
		},
		"/v1/sources": []api.Source{
			{Name: "a", EHLO: "a.example.com", Addresses: []string{"192.0.2.1", "2001:db8::1"}, WarmUp: []string{"google: day 3 of 12"}},
			{Name: "b", EHLO: "b.example.com", Proxied: true, Suspensions: []api.Suspension{
				{Site: "google.com", Families: "IPv4 and IPv6", Name: "blocked", Reason: "listed", Until: time.Now().Add(5*time.Minute + 30*time.Second)},
			}},
		},
		"/v1/sources/lift": api.Lifted{Throttles: 1},
		"/v1/tracking/domains": []api.TrackingDomain{
			{URL: "https://t.bank.example", Tenants: []string{"bank"}, Status: "failing", Since: at, Probed: old, Succeeded: old, Failures: 7, Failure: "the name does not resolve"},
			{URL: "https://t.shop.example", Tenants: []string{"outlet", "shop"}, Status: "working", Since: at, Probed: at, Succeeded: at, CertificateEnds: at},
			{URL: "https://t.new.example", Tenants: []string{"new"}, Status: "untested", Since: at},
		},
		"/v1/sites/b.example/trace": []api.TraceLine{
			{Time: at, Source: "a", Host: "mx1.b.example", Remote: "192.0.2.1:25", Text: "220 mx1.b.example ESMTP"},
			{Time: at, Source: "a", Host: "mx1.b.example", Remote: "192.0.2.1:25", Sent: true, Text: "EHLO a.example.com"},
		},
		"/v1/throttles":      throttles,
		"/v1/throttles/lift": api.Lifted{Throttles: 2},
		"/v1/route": api.Route{
			Domain: "b.example", Site: "b.example", Origin: "dns",
			Hosts: []api.RouteHost{{
				Name: "mx1.b.example", Preference: 10, Addresses: []string{"192.0.2.1:25", "[2001:db8::1]:25"},
				TLS: "verified", TLSReason: "MTA-STS policy of b.example, in force",
			}},
			Sources: []api.RouteSource{
				{Name: "a", EHLO: "a.example.com", Share: 0.75}, {Name: "b", EHLO: "b.example.com", Share: 0.25, Reason: "it is suspended"},
			},
		},
		"/v1/diversions": []api.Diversion{
			{ID: id, Selector: api.Selector{Campaign: "november"}, Pool: "backup", Reason: "listed", Since: old},
		},
		"POST /v1/diversions": api.Diverted{
			Diversion: api.Diversion{ID: id, Selector: api.Selector{Campaign: "november"}, Pool: "backup", Since: old}, Recipients: 1200,
		},
		"/v1/diversions/" + id: struct{}{},
		"/v1/why": api.WhyPage{Recipients: []api.Why{
			{
				Recipient: waiting[0], State: "throttled", Site: "b.example", Hosts: []string{"mx1.b.example"}, Throttles: throttles,
				Reasons: []string{"site b.example, backoff: 421 too many connections", "attempt 1 failed: 451 4.7.1 later"},
			},
			{Recipient: waiting[1], State: "sending", Reasons: []string{"it is with a connection"}},
		}, Next: "more"},
		"/v1/recipients": api.RecipientPage{Recipients: waiting, Next: "more"},
		"/v1/holds": []api.Hold{
			{ID: id, Selector: api.Selector{Campaign: "november", Tenant: "shop"}, Reason: "wrong price", Since: old},
			{ID: id, Reason: "all stop", Since: old},
		},
		"POST /v1/holds":       api.Hold{ID: id, Selector: api.Selector{Campaign: "november"}, Reason: "wrong price", Since: old},
		"/v1/holds/" + id:      api.Changed{Recipients: 1200},
		"/v1/totals":           api.Totals{Accepted: 7, Outcomes: map[string]int64{"delivered": 5}},
		"/v1/retry":            api.Changed{Recipients: 1},
		"/v1/cancel":           api.Changed{Recipients: 3},
		"/v1/messages":         api.Sent{Message: id},
		"/v1/reload":           struct{}{},
		"/v1/subjects/find":    counts,
		"/v1/subjects/erase":   counts,
		"/v1/subjects/rectify": counts,
		"/v1/subjects/export":  map[string]string{"store": "events", "kind": "event"},
		"/v1/stats":            countedStats(),
		"/v1/rates":            watchedRates(),
		"/v1/events": []api.Record{
			{Position: 7, Event: event.Event{ID: "e1", Type: event.Accepted, Time: at, Message: id, Recipient: "a@example.net"}},
			{Position: 8, Event: event.Event{ID: "e2", Type: event.Deferred, Time: at, Message: id, Recipient: "a@example.net", Site: "example.net", Reply: reply}},
			{Position: 9, Event: event.Event{ID: "e3", Type: event.Clicked, Time: at, Message: id, Index: 1, Recipient: "b@example.net", URL: "https://shop.example/", Machine: "scanner"}},
			{Position: 10, Event: event.Event{ID: "e4", Type: event.Dropped, Time: at, Message: id, Index: 2, Recipient: "c@example.net", Reason: "suppressed: unsubscribed"}},
			{Position: 11, Event: event.Event{
				ID: "e5", Type: event.RateExceeded, Time: at, Tenant: "shop", Stream: "marketing", Campaign: "november",
				Reason: "campaign november: bounces at 12 %", Rate: &event.Rate{Of: "bounces", Level: "campaign", Count: 120, Sample: 1000, Percent: 12},
			}},
		},
	}
}

// watchedRates has a row of each level and state.
func watchedRates() api.Rates {
	bounces := api.RateFigure{Count: 120, Sample: 1000, Percent: 12, Warn: 5, Act: 10, Window: 3600}
	complaints := api.RateFigure{Count: 1, Sample: 870, Percent: 0.115, Warn: 0.1, Act: 0.3, Window: 86400}
	few := api.RateFigure{Count: 1, Sample: 3, Percent: 33.333, Warn: 5, Act: 10, Window: 3600, Few: true}
	none := api.RateFigure{Warn: 0.1, Act: 0.3, Window: 86400, Few: true}
	old := time.Now().Add(-3 * time.Hour)
	return api.Rates{Rates: []api.Rate{
		{Level: "tenant", Tenant: "shop", State: "warned", Since: old, Reason: "tenant shop: bounces at 12 %", Delivered: 870, Blocked: 10, Bounces: bounces, Complaints: complaints},
		{Level: "stream", Tenant: "shop", Stream: "marketing", State: "ok", Delivered: 870, Blocked: 10, Bounces: bounces, Complaints: complaints},
		{Level: "campaign", Tenant: "shop", Stream: "marketing", State: "few", Delivered: 2, Bounces: few, Complaints: none},
		{Level: "campaign", Tenant: "shop", Stream: "marketing", Campaign: "november", State: "held", Since: old, Reason: "campaign november: bounces at 12 %", Hold: "06f2k3m8q0v1c4t5a6b7", Delivered: 870, Bounces: bounces, Complaints: complaints},
		{Level: "campaign", Tenant: "shop", Stream: "marketing", Campaign: "spring", State: "slowed", Since: old, Until: time.Now().Add(10*time.Minute + 30*time.Second), Reason: "campaign spring: bounces at 12 %", Delivered: 870, Bounces: bounces, Complaints: complaints},
		{Level: "site", Tenant: "shop", Stream: "marketing", Site: "google.com", State: "ok", Delivered: 870, Bounces: bounces, Complaints: complaints},
		{Level: "site", Tenant: "shop", Stream: "marketing", Site: "small.example", State: "few", Delivered: 2, Bounces: few, Complaints: none},
	}}
}

// countedStats answers every question about statistics, whatever it is by.
func countedStats() api.Stats {
	hits := api.StatsHits{Raw: api.Figure{Count: 900}, Human: api.Figure{Count: 512}, Unique: api.Figure{Count: 400, AtLeast: true}}
	hidden := api.StatsHits{Raw: api.Figure{Count: 12}, Human: api.Figure{AtLeast: true}, Unique: api.Figure{Below: 10}}
	row := func(opens, clicks api.StatsHits, unsubscribed api.Figure) api.StatsRow {
		return api.StatsRow{
			Mail:  &api.StatsMail{Accepted: 1200, Sent: 1190, Delivered: 1180, Deferred: 30, Bounced: 10, Bounces: map[string]int64{"spam": 3, "mailbox_full": 7}, Dropped: 10},
			Opens: &opens, Clicks: clicks, Unsubscribed: &unsubscribed, Complained: &api.Figure{},
		}
	}
	first, second := row(hits, hits, api.Figure{Count: 11}), row(hits, hidden, api.Figure{Below: 10})
	first.Tenant, first.Stream, first.Campaign, first.Day, first.Link = "shop", "marketing", "november", "2026-11-01", "https://shop.example/november"
	second.Tenant, second.Stream, second.Day, second.Link = "shop", "transactional", "2026-11-02", "(other)"
	return api.Stats{
		Rows: []api.StatsRow{first, second}, Total: row(hits, hits, api.Figure{Count: 11, AtLeast: true}), More: 1, MaskBelow: 10,
		Until: time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC),
	}
}

// TestOutput holds what each command that asks the daemon prints, for people
// and as JSON, and what it asked. Times are taken out.
func TestOutput(t *testing.T) {
	t.Setenv("TZ", "UTC")
	for name, line := range map[string]string{
		"reload": "reload", "send": "send --from a@example.com b@example.net", "sites": "sites", "version": "version",
		"queue-list": "queue list", "queue-show": "queue show --domain example.net --limit 3",
		"why": "why --domain example.net", "site": "site b.example", "throttles-list": "throttles list",
		"throttles-lift": "throttles lift b.example backoff", "route": "route reader@b.example",
		"queue-divert": "queue divert --campaign november --pool backup", "queue-diversions": "queue diversions",
		"queue-undivert": "queue undivert 06f2k3m8q0v1c4t5a6b7",
		"sources-list":   "sources list", "sources-lift": "sources lift b", "tracking-domains": "tracking domains", "trace": "trace b.example --count 2", "queue-show-held": "queue show --held --limit 1", "queue-hold": "queue hold --campaign november --reason wrong",
		"queue-holds": "queue holds", "queue-release": "queue release 06f2k3m8q0v1c4t5a6b7", "queue-top": "queue top --once --interval 20ms",
		"queue-retry": "queue retry --all", "queue-cancel": "queue cancel --campaign november --reason wrong",
		"events-tail": "events tail --after 6", "events-some": "events tail --type DEFERRED,clicked --count 1 --no-follow",
		"stats": "stats", "stats-days": "stats --by day --campaign november --from 2026-11-01 --to 2026-11-30 --limit 2", "stats-links": "stats --by link --tenant shop",
		"rates": "rates", "rates-all": "rates --tenant shop --all",
		"stats-readers": "stats --readers",
		"privacy-find":  "privacy find --tenant shop a@example.net", "privacy-erase": "privacy erase a@example.net",
		"privacy-rectify": "privacy rectify --to b@example.net a@example.net", "privacy-export": "privacy export a@example.net",
	} {
		var text strings.Builder
		for _, format := range [][]string{nil, {"--json"}} {
			d := newDaemon(t, answers())
			got := typed(t, "", append(append([]string{"--socket", d.socket}, format...), strings.Fields(line)...)...)
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

// timeless replaces what differs from run to run.
func timeless(text string) string {
	text = regexp.MustCompile(`"(accepted|due|oldest|next_due|opens|probed|since|started|succeeded|time|until)": ?"[^"]+"`).ReplaceAllString(text, `"$1": "TIME"`)
	text = regexp.MustCompile(`go1\.[0-9]+\.[0-9]+`).ReplaceAllString(text, "GO")
	return regexp.MustCompile(`"message":"[A-Za-z0-9+/=]{60,}"`).ReplaceAllString(text, `"message":"BASE64"`)
}

// TestExitStatus proves which status and which words each kind of failure has.
func TestExitStatus(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "none")
	refusing := newDaemon(t, map[string]any{
		"/v1/reload":     &api.Error{Status: 422, Message: "a.toml:1:1: x: unknown key"},
		"/v1/recipients": api.RecipientPage{},
	})
	for _, test := range []struct {
		line   string
		status int
		want   string
	}{
		{"", 2, `postrider: expected one of "serve"`},
		{"queeu", 2, `did you mean "queue"?`},
		{"queue lst", 2, `did you mean "list"?`},
		{"queue show --domian x", 2, `did you mean "--domain"?`},
		{"send b@example.net", 2, "missing flags: --from=ADDRESS"},
		{"dkim keygen example.com s --algorithm dsa", 2, "--algorithm must be one of"},
		{"--socket " + none + " queue list", 1, "postrider: no daemon answers at " + none},
		{"--socket " + refusing.socket + " reload", 1, "postrider: a.toml:1:1: x: unknown key"},
		{"--socket " + refusing.socket + " queue show 06f2k3m8q0v1c4t5a6b7", 1, "is not in the queue"},
		{"serve --config " + none, 1, "postrider: configuration: open " + none},
		{"config check " + none, 1, "postrider: open " + none},
		{"dkim check example.com --config " + none, 1, "postrider: open " + none},
		{"send --from a@example.com --file " + none + " b@example.net", 1, "postrider: open " + none},
		{"why", 1, "name a message"},
		{"password", 1, "postrider: no password on standard input"},
	} {
		got := typed(t, "", strings.Fields(test.line)...)
		if got.status != test.status || !strings.Contains(got.errors, test.want) || got.out != "" {
			t.Errorf("%q: %d\nout    %s\nerrors %s", test.line, got.status, got.out, got.errors)
		}
	}
	if got := typed(t, "", "--socket", refusing.socket, "queue", "show"); got.status != 0 || got.out != "nobody waits\n" {
		t.Errorf("%+v", got)
	}
	if got := typed(t, "", "--socket", none, "version"); got.status != 0 || !strings.Contains(got.out, "not asked: no daemon answers") {
		t.Errorf("%+v", got)
	}
}

// TestInterrupted proves that a stream ends well when the user ends it, and
// that a command that was cut short says so.
func TestInterrupted(t *testing.T) {
	d := newDaemon(t, answers())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for line, want := range map[string]int{"events tail": 0, "queue cancel --all": 1} {
		var errors bytes.Buffer
		arguments := append([]string{"--socket", d.socket}, strings.Fields(line)...)
		if got := run(ctx, arguments, nil, io.Discard, &errors); got != want || (want == 1) != strings.Contains(errors.String(), "interrupted") {
			t.Errorf("%s: %d %s", line, got, errors.String())
		}
	}
}

// TestHelp proves that each command has help with an example, and that each
// example is a command line that is understood.
func TestHelp(t *testing.T) {
	var c commands
	parser, err := kong.New(&c, kong.Name("postrider"))
	if err != nil {
		t.Fatal(err)
	}
	known := examples()
	for _, leaf := range parser.Model.Leaves(false) {
		path := strings.TrimPrefix(leaf.FullPath(), "postrider ")
		example := known[path]
		delete(known, path)
		got := typed(t, "", append(strings.Fields(path), "--help")...)
		if got.status != 0 || example == "" || !strings.HasSuffix(got.out, "\nExample:\n  "+example+"\n") {
			t.Errorf("%s: %d\n%s", path, got.status, got.out)
		}
		typed, _, _ := strings.Cut(strings.ReplaceAll(example, " < ", " > "), " > ")
		if _, err := parser.Parse(words(typed)[1:]); err != nil {
			t.Errorf("%s: %v", example, err)
		}
		if !strings.HasPrefix(example, "postrider "+path) {
			t.Errorf("%s: %s is for another", path, example)
		}
	}
	if len(known) > 0 {
		t.Errorf("examples of no command: %v", known)
	}
	if got := typed(t, "", "queue", "--help"); got.status != 0 || strings.Contains(got.out, "Example:") {
		t.Errorf("%d\n%s", got.status, got.out)
	}
}

// words splits as a shell does, as far as the examples go.
func words(line string) []string {
	var all []string
	for _, word := range regexp.MustCompile(`'[^']*'|\S+`).FindAllString(line, -1) {
		all = append(all, strings.Trim(word, "'"))
	}
	return all
}

package shape

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
)

// TestMistakesAreToldAtOnce has one file with every kind of mistake, and what
// is to be said of each.
func TestMistakesAreToldAtOnce(t *testing.T) {
	const file = `
[warmup]
daily = [100, 50]
max_deferred_percent = 0

[[provider]]
name = "Bad Name"

[[provider]]
name = "empty"

[[provider]]
name = "one"
mx = ["one.example."]
domains = "one.example"
connections = 0
rate = "10/fortnight"
ip = "ipv5"
pipelining = "no"
conections = 3

[[provider.rule]]
name = "nothing"
action = "slow_down"
reason = "r"

[[provider.rule]]
name = "all"
code = ["421", "200"]
enhanced = ["4.7.x", "5.7.9-1"]
text = "("
category = "spamm"
action = "stop"
factor = 1.5
for = "soon"
after = 0
within = "1 day"

[[provider.rule]]
name = "all"
code = "421"
action = "none"
reason = "r"

[[provider]]
name = "google"
[[provider.rule]]
name = "busy"
sample = "421 4.4.5 Nothing of the kind"

[[provider]]
name = "thief"
mx = "google.com"
[[provider.rule]]
name = "both"
code = "421"
action = ["pause_site", "pause_tenant"]
reason = "r"
[[provider.rule]]
name = "first"
code = "4xx"
action = "none"
reason = "r"
[[provider.rule]]
name = "shadowed"
text = 'busy\.'
action = "none"
reason = "r"
sample = ["421 busy.", "250 fine"]
sample_mx = "mx.elsewhere.example"

[rule]
name = "x"
`
	want := []string{
		`rules:3: warmup.daily: expected a list of growing whole numbers above 0`,
		`rules:4: warmup.max_deferred_percent: expected a percentage above 0 and up to 100`,
		`rules:7: provider[0].name: expected a name of lower case letters, digits, - and _`,
		`rules:9: provider[1]: expected mx or domains, or the name of a known provider`,
		`rules:14: provider[2].mx: expected a name such as "example.net", without a dot at its ends, not "one.example."`,
		`rules:16: provider[2].connections: expected a whole number from 1 to 1000000`,
		`rules:17: provider[2].rate: expected a rate such as "100/s", "100/min" or "100/hour", or "" for no limit`,
		`rules:18: provider[2].ip: expected one of ipv4, ipv6, prefer-ipv4 and prefer-ipv6, not "ipv5"`,
		`rules:19: provider[2].pipelining: expected true or false`,
		`rules:20: provider[2].conections: unknown key; those known here are connections, domains, ip, messages_per_connection, mx, name, pipelining, rate, recipients_per_transaction, rule, site, title, warmup`,
		`rules:22: provider[2].rule[0]: expected at least one of code, enhanced, text and category: it would match every reply`,
		`rules:27: provider[2].rule[1]: expected a reason`,
		`rules:29: provider[2].rule[1].code: expected reply codes from "400" to "599", "4xx" or "5xx", not "200"`,
		`rules:30: provider[2].rule[1].enhanced: "4.7.x" is not an enhanced code such as 4.7.28, x.7.*, or 5.7.606-649`,
		`rules:30: provider[2].rule[1].enhanced: "5.7.9-1" is not an enhanced code such as 4.7.28, x.7.*, or 5.7.606-649`,
		"rules:31: provider[2].rule[1].text: error parsing regexp: missing closing ): `(?i)(`",
		`rules:32: provider[2].rule[1].category: expected one of invalid_recipient, mailbox_full, inactive, policy, spam, blocklist, authentication, rate_limit, greylisting, routing, system, protocol, tls, size, unknown, not "spamm"`,
		`rules:33: provider[2].rule[1].action: expected one of slow_down, fewer_connections, pause_site, pause_tenant, pause_campaign, bounce, retry, none, not "stop"`,
		`rules:34: provider[2].rule[1].factor: expected a number above 0 and up to 1`,
		`rules:35: provider[2].rule[1].for: expected a duration such as "30s", "10m", "2h" or "1d"`,
		`rules:36: provider[2].rule[1].after: expected a whole number from 1 to 1000`,
		`rules:37: provider[2].rule[1].within: expected a duration such as "30s", "10m", "2h" or "1d"`,
		`rules:40: provider[2].rule[2].name: expected once: "all" is in the file already`,
		`rules:49: provider[3].rule[0].sample: the rule does not match "421 4.4.5 Nothing of the kind"`,
		`rules:53: provider[4].mx: "google.com" belongs to the provider google too`,
		`rules:57: provider[4].rule[0].action: expected one action, or one that lasts and one of bounce and retry`,
		`rules:69: provider[4].rule[2].sample: expected a negative reply such as "421 4.7.28 too much mail", not "250 fine"`,
		`rules:69: provider[4].rule[2].sample: the rule does not match "0"`,
		`rules:69: provider[4].rule[2].sample: the rule thief/both stands before and takes "421 busy."`,
		`rules:70: provider[4].rule[2].sample_mx: expected a mail exchanger of thief, not "mx.elsewhere.example"`,
		`rules:72: rule: expected tables, each under a [[rule]]`,
	}
	_, err := shipped(t).Override("rules", []byte(file))
	if err == nil {
		t.Fatal("taken")
	}
	got := strings.Split(err.Error(), "\n")
	slices.Sort(got)
	slices.Sort(want)
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("unexpected: %s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("missing:    %s", line)
		}
	}
}

func TestNotTOML(t *testing.T) {
	_, err := shipped(t).Override("rules", []byte("name = \"a\"\nname == \"b\"\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "rules:2: expected TOML: ") {
		t.Error(err)
	}
}

// TestOverrideByValue: what the operator's file says goes over what is
// shipped, and nothing else changes.
func TestOverrideByValue(t *testing.T) {
	base := shipped(t)
	merged, err := base.Override("rules", []byte(`
[warmup]
daily = [7, 8]

[[provider]]
name = "google"
connections = 5
messages_per_connection = 0
rate = ""

[[provider.rule]]
name = "busy"
factor = 0.9

[[provider.rule]]
name = "content"
disabled = true

[[provider.rule]]
name = "mine"
text = "my own"
action = "none"
reason = "because"
sample = "421 My Own"
sample_mx = "aspmx.l.google.com"

[[provider]]
name = "partner"
domains = "Partner.Example"
connections = 2

[[rule]]
name = "rate"
factor = 0.5
`))
	if err != nil {
		t.Fatal(err)
	}
	google, _ := merged.Find("", "aspmx.l.google.com")
	old, _ := base.Find("", "aspmx.l.google.com")
	if l := google.Limits; l.Connections != 5 || l.MessagesPerConnection != -1 || l.Rate.Messages != -1 || l.RecipientsPerTransaction != 100 || l.Family != PreferIPv4 {
		t.Errorf("limits %+v", l)
	}
	if len(google.Rules) != len(old.Rules) || google.Rules[0].Name != "mine" {
		t.Errorf("%d rules, first %s", len(google.Rules), google.Rules[0].Name)
	}
	for _, r := range google.Rules {
		if r.Name == "content" {
			t.Error("a disabled rule is there")
		}
		if r.Name == "busy" && (r.Factor != 0.9 || r.For != 5*time.Minute || len(r.Samples) != 2) {
			t.Errorf("rule %+v", r)
		}
	}
	if slices.ContainsFunc(old.Rules, func(r Rule) bool { return r.Name == "mine" || r.Name == "busy" && r.Factor == 0.9 }) {
		t.Error("the shipped rules have changed")
	}
	s := New(Options{
		Providers: merged, Default: Limits{Connections: 9, MessagesPerConnection: 30, Rate: Rate{1, time.Second}},
		Sites: map[string]Limits{"google.com": {Rate: Rate{3, time.Second}}},
	})
	if l := s.Limits("google.com"); l.Connections != 5 || l.MessagesPerConnection != -1 || l.Rate.Messages != 3 {
		t.Errorf("limits of the site %+v", l)
	}
	if l := s.Limits("partner.example"); l.Connections != 2 || l.MessagesPerConnection != 30 || l.Rate.Messages != 1 {
		t.Errorf("limits of the partner %+v", l)
	}
	if site, ok := merged.Site("partner.example", "mx.big.example"); !ok || site != "partner.example" {
		t.Errorf("site %q", site)
	}
	if merged.warmUp.Daily[0] != 7 || merged.warmUp.MaxDeferred != 0.05 {
		t.Errorf("schedule %+v", merged.warmUp)
	}
}

// TestCategoriesAreTheClassifiers: a rule that asks for a category that is never
// given would be dead.
func TestCategoriesAreTheClassifiers(t *testing.T) {
	for _, category := range []bounce.Category{
		bounce.InvalidRecipient, bounce.MailboxFull, bounce.Inactive, bounce.Policy, bounce.Spam, bounce.Blocklist,
		bounce.Authentication, bounce.RateLimit, bounce.Greylisting, bounce.Routing, bounce.System, bounce.Protocol,
		bounce.TLS, bounce.Size, bounce.Unknown,
	} {
		if !slices.Contains(categories(), string(category)) {
			t.Errorf("%s is not known here", category)
		}
	}
}

func TestDurationsOfFiles(t *testing.T) {
	for text, want := range map[string]time.Duration{"30s": 30 * time.Second, "1d": 24 * time.Hour, "1d12h": 36 * time.Hour, "90m": 90 * time.Minute} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1d-1h", "400d", "10000000h", "1w", "1"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func FuzzOverride(f *testing.F) {
	base := shipped(f)
	f.Add([]byte("[[provider]]\nname = \"a\"\nmx = \"a.example\"\n[[provider.rule]]\nname = \"r\"\ncode = \"4xx\"\naction = \"none\"\nreason = \"r\"\nsample = \"421 x\"\n"))
	f.Add([]byte("[[rule]]\nname = \"rate\"\nenhanced = \"x.7.1-9\"\n"))
	f.Add([]byte("provider = [1, {name = \"google\", rule = 3}]\nwarmup = []\n"))
	f.Add([]byte("a.b.c = 1\n[provider]\n[[provider]]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		merged, err := base.Override("rules", data)
		if err == nil {
			s := New(Options{Providers: merged})
			slot, _ := s.Connect(start(), target("google.com"))
			if slot == nil {
				return // a cap of nothing cannot be asked for, but a pause of the site can
			}
			slot.Take(start())
			slot.Report(start(), Outcome{Reply: mail.Reply{Code: 421, Text: "try again later"}, Tenant: "t", Campaign: "c"})
			slot.Close(start())
			return
		}
		problems, ok := err.(Problems)
		if !ok || merged != nil {
			t.Fatalf("%T", err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Line > 1+strings.Count(string(data), "\n") || p.Message == "" {
				t.Errorf("problem %+v", p)
			}
		}
	})
}

func FuzzRules(f *testing.F) {
	f.Add(421, "4.7.28 unusual rate of unsolicited mail", 4, 7, 28)
	f.Add(550, strings.Repeat("[TSS04]", 900), 0, 0, 0)
	providers, categorize := shipped(f), categorizer()
	f.Fuzz(func(t *testing.T, code int, text string, class, subject, detail int) {
		s := New(Options{Providers: providers, Categorize: categorize})
		now := start()
		reply := mail.Reply{Code: code, Text: text, Enhanced: mail.EnhancedCode{Class: class, Subject: subject, Detail: detail}}
		for _, p := range providers.All() {
			slot, _ := s.Connect(now, Target{"s", p.Site, ""})
			slot.Take(now)
			reaction := slot.Report(now, Outcome{Reply: reply, Tenant: "t", Campaign: "c"})
			if reply.Positive() && reaction != (Reaction{}) {
				t.Errorf("a positive reply leads to %+v", reaction)
			}
			slot.Fail(now, "ended", reply)
			slot.Close(now)
		}
		for _, throttle := range s.Throttles(now) {
			if throttle.Reason == "" || throttle.Name == "" {
				t.Errorf("throttle %+v", throttle)
			}
		}
	})
}

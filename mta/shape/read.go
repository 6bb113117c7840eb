package shape

import (
	"regexp"
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Override returns the rules of p with those of a file of the same form over
// them: providers and rules by their names, each value by itself. What is new
// goes before what p has. Errors are Problems: all of the file's mistakes, with
// the lines they are on.
func (p *Providers) Override(file string, data []byte) (*Providers, error) {
	if p == nil {
		p = &Providers{}
	}
	d, root := openDocument(file, data)
	if root == nil {
		return nil, d.err()
	}
	merged := p.clone()
	if t := root.table("warmup"); t != nil {
		readSchedule(t, &merged.warmUp)
	}
	merged.general = mergeRules(root.tables("rule"), merged.general, "")
	merged.list = mergeProviders(root.tables("provider"), merged.list)
	root.done()
	merged.index(d)
	merged.order()
	merged.check(d)
	if err := d.err(); err != nil {
		return nil, err
	}
	return merged, nil
}

// name reads the name that a table is merged by.
func (t *table) name(into *string) bool {
	if _, ok := t.value("name"); !ok {
		t.wrong(join(t.path, "name"), "missing; expected a name")
		return false
	}
	ok := t.text("name", "a name of lower case letters, digits, - and _", into)
	if ok && strings.Trim(*into, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.wrong(join(t.path, "name"), "expected a name of lower case letters, digits, - and _")
		return false
	}
	return ok
}

func mergeProviders(tables []*table, known []Provider) []Provider {
	var added []Provider
	for _, t := range tables {
		var name string
		if !t.name(&name) {
			continue
		}
		named := func(p Provider) bool { return p.Name == name }
		into := &Provider{Name: name}
		if i := slices.IndexFunc(known, named); i >= 0 {
			into = &known[i]
		} else if slices.ContainsFunc(added, named) {
			t.wrong(join(t.path, "name"), "expected once: %q is in the file already", name)
			continue
		}
		if into.path != "" {
			t.wrong(join(t.path, "name"), "expected once: %q is in the file already", name)
			continue
		}
		into.path = t.path
		readProvider(t, into)
		if !slices.ContainsFunc(known, named) {
			added = append(added, *into)
		}
	}
	return append(added, known...)
}

func readProvider(t *table, p *Provider) {
	t.text("title", "a title", &p.Title)
	t.domains("mx", &p.MX)
	t.domains("domains", &p.Domains)
	var site []string
	if t.domains("site", &site) {
		p.Site = site[0]
	}
	if len(p.MX)+len(p.Domains) == 0 {
		t.wrong(t.path, "expected mx or domains, or the name of a known provider")
	}
	readLimits(t, &p.Limits)
	if w := t.table("warmup"); w != nil {
		readSchedule(w, &p.WarmUp)
	}
	p.Rules = mergeRules(t.tables("rule"), p.Rules, p.Name)
	t.done()
}

// domains reads a list of host or domain names. A dot at either end would
// never match, so that it is refused and not dropped.
func (t *table) domains(key string, into *[]string) bool {
	var list []string
	if !t.texts(key, `names such as "example.net"`, &list) {
		return false
	}
	for i, name := range list {
		domain, err := mail.ParseDomain(name)
		if err != nil || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
			t.wrong(join(t.path, key), "expected a name such as \"example.net\", without a dot at its ends, not %q", name)
			return false
		}
		list[i] = string(domain)
	}
	*into = list
	return true
}

func readLimits(t *table, l *Limits) {
	const most = 1_000_000
	t.whole("connections", 1, most, &l.Connections)
	if t.whole("messages_per_connection", 0, most, &l.MessagesPerConnection) && l.MessagesPerConnection == 0 {
		l.MessagesPerConnection = -1
	}
	t.whole("recipients_per_transaction", 1, most, &l.RecipientsPerTransaction)
	t.rate("rate", &l.Rate)
	var family string
	families := []Family{IPv4, IPv6, PreferIPv4, PreferIPv6}
	if t.text("ip", "one of ipv4, ipv6, prefer-ipv4 and prefer-ipv6", &family) {
		if l.Family = Family(family); !slices.Contains(families, l.Family) {
			t.wrong(join(t.path, "ip"), "expected one of ipv4, ipv6, prefer-ipv4 and prefer-ipv6, not %q", family)
		}
	}
	pipelining := true
	if t.truth("pipelining", &pipelining) {
		l.NoPipelining = !pipelining
	}
}

// mergeRules changes the rules that the tables name, drops those they disable,
// and puts new ones first.
func mergeRules(tables []*table, known []Rule, provider string) []Rule {
	var added []Rule
	for _, t := range tables {
		var name string
		if !t.name(&name) {
			continue
		}
		named := func(r Rule) bool { return r.Name == name }
		i := slices.IndexFunc(known, named)
		if slices.ContainsFunc(added, named) || i >= 0 && known[i].path != "" {
			t.wrong(join(t.path, "name"), "expected once: %q is in the file already", name)
			continue
		}
		if i >= 0 {
			readRule(t, &known[i])
			continue
		}
		rule := Rule{Name: name, Provider: provider, Factor: defaultFactor, For: defaultFor, After: 1, Within: defaultWithin}
		readRule(t, &rule)
		added = append(added, rule)
	}
	all := append(added, known...)
	return slices.DeleteFunc(all, func(r Rule) bool { return r.disabled })
}

func readRule(t *table, r *Rule) {
	r.path = t.path
	t.conditions(r)
	t.actions(r)
	t.number("factor", "a number above 0 and up to 1", 0, 1, &r.Factor)
	t.duration("for", &r.For)
	t.whole("after", 1, maxAfter, &r.After)
	t.duration("within", &r.Within)
	t.text("reason", "a reason in words", &r.Reason)
	t.samples(r)
	t.truth("disabled", &r.disabled)
	if r.Reason == "" {
		t.wrong(t.path, "expected a reason")
	}
	t.done()
}

func (t *table) conditions(r *Rule) {
	if t.texts("code", `reply codes such as "421" or "4xx"`, &r.Codes) {
		for _, code := range r.Codes {
			if !isCode(code) {
				t.wrong(join(t.path, "code"), `expected reply codes from "400" to "599", "4xx" or "5xx", not %q`, code)
			}
		}
	}
	if t.texts("enhanced", `enhanced codes such as "4.7.28", "x.7.*" or "5.7.606-649"`, &r.Enhanced) {
		r.enhanced = nil
		for _, code := range r.Enhanced {
			pattern, err := parseEnhanced(code)
			if err != nil {
				t.wrong(join(t.path, "enhanced"), "%v", err)
			}
			r.enhanced = append(r.enhanced, pattern)
		}
	}
	if t.texts("category", "categories of replies", &r.Categories) {
		for _, category := range r.Categories {
			if !slices.Contains(categories(), category) {
				t.wrong(join(t.path, "category"), "expected one of %s, not %q", strings.Join(categories(), ", "), category)
			}
		}
	}
	var text string
	if t.text("text", "a regular expression", &text) {
		expression, err := regexp.Compile("(?i)" + text)
		if err != nil {
			t.wrong(join(t.path, "text"), "%v", err)
		}
		r.Text = expression
	}
	if len(r.Codes)+len(r.Enhanced)+len(r.Categories) == 0 && r.Text == nil {
		t.wrong(t.path, "expected at least one of code, enhanced, text and category: it would match every reply")
	}
}

// categories are those of bounce.Category.
func categories() []string {
	return []string{
		"invalid_recipient", "mailbox_full", "inactive", "policy", "spam", "blocklist", "authentication", "rate_limit",
		"greylisting", "routing", "system", "protocol", "tls", "size", "unknown",
	}
}

func (t *table) actions(r *Rule) {
	var names []string
	if t.texts("action", "actions", &names) {
		r.Actions = nil
		for _, name := range names {
			r.Actions = append(r.Actions, Action(name))
		}
	}
	if len(r.Actions) == 0 {
		t.wrong(t.path, "expected an action")
		return
	}
	lasting := 0
	for _, a := range r.Actions {
		if !slices.Contains(actions(), a) {
			t.wrong(join(t.path, "action"), "expected one of %s, not %q", words(actions()), a)
			return
		}
		if a.lasts() {
			lasting++
		}
	}
	if lasting > 1 || r.does(BounceRecipient) && r.does(RetryRecipient) || r.does(Nothing) && len(r.Actions) > 1 {
		t.wrong(join(t.path, "action"), "expected one action, or one that lasts and one of bounce and retry")
	}
}

func words[T ~string](list []T) string {
	var b strings.Builder
	for i, word := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(word))
	}
	return b.String()
}

func (t *table) samples(r *Rule) {
	var samples []string
	if t.texts("sample", `replies such as "421 4.7.28 too much mail"`, &samples) {
		r.Samples = nil
		for _, sample := range samples {
			reply, ok := parseReply(sample)
			if !ok {
				t.wrong(join(t.path, "sample"), `expected a negative reply such as "421 4.7.28 too much mail", not %q`, sample)
			}
			r.Samples = append(r.Samples, reply)
		}
	}
	var exchanger []string
	if t.domains("sample_mx", &exchanger) {
		r.Exchanger = exchanger[0]
	}
}

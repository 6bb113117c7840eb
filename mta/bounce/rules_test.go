package bounce

import (
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
)

// samples has a reply for each rule that only this rule may take, so that no
// line of the table can be dead.
func samples() map[string]mail.Reply {
	reply := func(code, class, subject, detail int, text string) mail.Reply {
		return mail.Reply{Code: code, Enhanced: mail.EnhancedCode{Class: class, Subject: subject, Detail: detail}, Text: text}
	}
	bare := func(code int, text string) mail.Reply { return mail.Reply{Code: code, Text: text} }
	return map[string]mail.Reply{
		"yahoo-552":             bare(552, "1 Requested mail action aborted, mailbox not found"),
		"recipients-552":        bare(552, "Too many recipients"),
		"too-many-recipients":   reply(550, 5, 1, 1, "<a@example.com> - 192.0.2.1 has sent to too many recipients this hour"),
		"outlook-directory":     reply(550, 5, 4, 1, "Recipient address rejected: Access denied. [host.protection.outlook.com]"),
		"exchange-resolver":     reply(550, 5, 1, 10, "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"),
		"exchange-size":         reply(550, 5, 2, 3, "RESOLVER.RST.RecipSizeLimit; message too large for this recipient"),
		"qq-flooded":            bare(550, "Mailbox unavailable or access denied [MxQ0tYb8 IP: 192.0.2.1]"),
		"qq-frequency":          bare(550, "Domain frequency limited [MxWQ6CLmCBsVgyVCdgIZRQ== IP: 192.0.2.1]"),
		"netease-limit":         bare(421, "HL:ICC 163 mx26,QMCowAD3,1"),
		"netease-blocklist":     bare(450, "DT:RBL 163 mx3"),
		"netease-spam":          bare(554, "DT:SPM 163 mx26,QMCowAD3"),
		"mimecast-greylisting":  bare(451, "Internal resources are temporarily unavailable - https://community.mimecast.com/docs/DOC-1369#451"),
		"google-unsolicited":    reply(421, 4, 7, 28, "an unusual rate of unsolicited mail originating from your DKIM domain"),
		"outlook-policy":        bare(550, "SC-001 (BAY004-MC1F1) Unfortunately, messages from 192.0.2.1 weren't sent."),
		"outlook-limit":         bare(421, "RP-001 (BAY004-MC6F9) Unfortunately, some messages from 192.0.2.1 weren't sent."),
		"yahoo-japan-blocklist": bare(553, "Mail from 192.0.2.1 not allowed - VS98-IP0 deferred"),
		"gmx-policy":            bare(450, "Requested mail action not taken: mailbox unavailable Reject due to policy restrictions."),
		"listed-domain":         reply(550, 5, 7, 1, "rejected due to having a domain present in the Spamhaus DBL"),
		"full-code":             reply(552, 5, 2, 2, "Mailbox size limit exceeded"),
		"service":               bare(421, "Service Temporarily Unavailable"),
		"yahoo-reputation":      reply(421, 4, 7, 0, "[TSS04] Messages from 192.0.2.1 temporarily deferred"),
		"yahoo-blocklist":       reply(553, 5, 7, 1, "[BL23] Connections not accepted from IP addresses on Spamhaus XBL"),
		"outlook-blocklist":     reply(550, 5, 7, 1, "part of their network is on our block list (S3150)."),
		"recipient-form":        reply(553, 5, 1, 3, "The recipient address is not a valid RFC 5321 address."),
		"unknown-user":          reply(550, 5, 1, 1, "User unknown; we take no spam"),
		"login":                 reply(535, 5, 7, 8, "Username and password not accepted"),
		"tls":                   reply(530, 5, 7, 0, "Must issue a STARTTLS command first"),
		"form":                  reply(550, 5, 7, 1, "This message is not RFC 5322 compliant"),
		"sender-authentication": reply(550, 5, 7, 1, "rejected per DMARC policy"),
		"reverse-dns":           reply(450, 4, 7, 1, "Client host rejected: cannot find your reverse hostname"),
		"traffic-of-host":       reply(451, 4, 7, 1, "<mx.example[192.0.2.3]>: Client host rejected: Please try again slower"),
		"greylisting":           reply(450, 4, 2, 0, "Greylisted for 5 minutes"),
		"blocklist-url":         bare(553, "see http://www.spamhaus.org/query/bl?ip=192.0.2.1"),
		"blocklist":             bare(550, "Your IP has been blacklisted"),
		"sender-address":        reply(553, 5, 1, 8, "Domain of sender address a@example.com does not exist"),
		"size":                  reply(552, 5, 3, 4, "Message size exceeds fixed limit"),
		"spam":                  bare(550, "Message rejected as spam"),
		"content":               reply(552, 5, 7, 0, "Our system detected an illegal attachment"),
		"rate":                  reply(452, 4, 3, 2, "Connection rate limit exceeded"),
		"relaying":              reply(554, 5, 7, 1, "Relaying denied"),
		"loop":                  reply(554, 5, 4, 6, "Hop count exceeded - possible mail loop"),
		"reach":                 bare(451, "Connection timed out"),
		"x.7-authentication":    reply(550, 5, 7, 26, "no"),
		"x.7-tls":               reply(523, 5, 7, 10, "no"),
		"x.7-owner":             reply(525, 5, 7, 13, "User account disabled"),
		"x.7-rate":              reply(421, 4, 7, 28, "no"),
		"x.7-blocklist":         reply(550, 5, 7, 606, "Access denied"),
		"x.7":                   reply(550, 5, 7, 1, "User unknown"),
		"x.1.1":                 reply(550, 5, 1, 1, "inactive e-mail address"),
		"full":                  bare(552, "Error: disk quota exceeded"),
		"inactive":              bare(550, "Mailbox is frozen"),
		"unknown-address":       bare(550, "No such user here"),
		"policy-text":           bare(550, "Denied by policy"),
		"sender":                reply(553, 5, 1, 7, "no"),
		"destination":           reply(550, 5, 1, 2, "no"),
		"no-mail-host":          reply(521, 5, 3, 2, "no"),
		"x.2.1":                 reply(550, 5, 2, 1, "no"),
		"x.2.2":                 reply(552, 5, 2, 2, "no"),
		"size-code":             reply(552, 5, 3, 4, "no"),
		"x.2.0":                 reply(550, 5, 2, 0, "no"),
		"x.4.5":                 reply(550, 5, 4, 5, "no"),
		"x.3":                   reply(451, 4, 3, 0, "no"),
		"x.4":                   reply(451, 4, 4, 1, "no"),
		"recipients":            reply(452, 4, 5, 3, "no"),
		"x.5":                   reply(500, 5, 5, 2, "no"),
		"x.6":                   reply(550, 5, 6, 0, "no"),
		"null-mx":               bare(556, "no"),
		"system-text":           reply(550, 5, 0, 0, "Mail system full"),
		"syntax":                bare(501, "Syntax error in parameters or arguments"),
		"authentication":        bare(530, "no"),
		"system":                bare(451, "no"),
	}
}

func TestNoRuleIsDead(t *testing.T) {
	classifier := New()
	samples := samples()
	seen := make(map[string]bool)
	for _, r := range classifier.rules {
		if seen[r.name] {
			t.Errorf("two rules are named %s", r.name)
		}
		seen[r.name] = true
		sample, ok := samples[r.name]
		if !ok {
			t.Errorf("rule %s has no sample", r.name)
			continue
		}
		if class := classifier.Classify(sample); class.Rule != r.name || class.Category != r.category {
			t.Errorf("rule %s: its sample goes to %+v", r.name, class)
		}
	}
}

// TestNoPhraseIsDead finds phrases that can never occur in what is compared.
func TestNoPhraseIsDead(t *testing.T) {
	for _, r := range rules() {
		for _, phrase := range r.text {
			text := newSubject(mail.Reply{Code: 550, Text: "x" + strings.ReplaceAll(phrase, "*", " and ") + "x"}).text
			if !containsPhrase(text, phrase) {
				t.Errorf("rule %s: phrase %q is not found in %q", r.name, phrase, text)
			}
		}
		for _, part := range r.urls {
			if part != strings.ToLower(part) || strings.ContainsAny(part, " @") {
				t.Errorf("rule %s: URL part %q", r.name, part)
			}
		}
	}
}

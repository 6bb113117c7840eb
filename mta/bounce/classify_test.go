package bounce_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
)

// parse reads code, enhanced code and text as the client does.
func parse(line string) mail.Reply {
	var reply mail.Reply
	first, rest, _ := strings.Cut(line, " ")
	if code, err := strconv.Atoi(first); err == nil && len(first) == 3 {
		reply.Code, line = code, rest
	}
	first, rest, _ = strings.Cut(line, " ")
	if enhanced, ok := mail.ParseEnhancedCode(first); ok {
		reply.Enhanced, line = enhanced, rest
	}
	reply.Text = line
	return reply
}

func TestClassify(t *testing.T) {
	classifier := bounce.New()
	for _, tc := range []struct {
		reply     string
		category  bounce.Category
		permanent bool
	}{
		{"550 5.1.1 The email account that you tried to reach does not exist. Please try https://support.example.com/spam", bounce.InvalidRecipient, true},
		{"550 No such user here", bounce.InvalidRecipient, true},
		{"450 4.1.1 <a@example.com>: Recipient address rejected: unverified address", bounce.InvalidRecipient, false},
		{"552 1 Requested mail action aborted, mailbox not found", bounce.InvalidRecipient, true},
		{"554 delivery error: dd This user doesn't have a yahoo.com account (a@yahoo.com) [0]", bounce.InvalidRecipient, true},
		{"550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", bounce.InvalidRecipient, true},
		{"550 5.7.1 <a@example.com>: Recipient address rejected: User unknown", bounce.Policy, true},
		{"552 5.2.2 The email account that you tried to reach is over quota", bounce.MailboxFull, true},
		{"452 4.2.2 The recipient's inbox is out of storage space.", bounce.MailboxFull, false},
		{"550 5.2.1 The email account that you tried to reach is disabled.", bounce.Inactive, true},
		{"550 5.7.1 Message contains spam or virus or sender is blocked", bounce.Policy, true},
		{"550 5.7.515 Access denied, sending domain example.com doesn't meet the required authentication level.", bounce.Authentication, true},
		{"421 4.7.26 This mail has been rate limited because it is unauthenticated.", bounce.Authentication, false},
		{"550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150).", bounce.Blocklist, true},
		{"421 4.7.0 [TSS04] Messages from 192.0.2.25 temporarily deferred due to unexpected volume or user complaints", bounce.Spam, false},
		{"450 4.2.0 <a@example.com>: Recipient address rejected: Greylisted, see http://postgrey.example.com", bounce.Greylisting, false},
		{"421 4.7.28 Gmail has detected an unusual rate of mail", bounce.RateLimit, false},
		{"552 Too many recipients", bounce.RateLimit, false},
		{"452 4.5.3 Too many recipients", bounce.RateLimit, false},
		{"554 5.7.1 <a@example.com>: Relay access denied", bounce.Routing, true},
		{"530 5.7.0 Must issue a STARTTLS command first", bounce.TLS, true},
		{"552 5.3.4 Message size exceeds fixed limit", bounce.Size, true},
		{"503 5.5.1 Bad sequence of commands", bounce.Protocol, true},
		{"556 5.1.10 domain does not accept mail (null MX)", bounce.InvalidRecipient, true},
		{"550 5.1.2 domain does not exist", bounce.InvalidRecipient, true},
		{"451 4.4.3 name resolution failed", bounce.Routing, false},
		{"451 4.3.0 Temporary system problem", bounce.System, false},
		{"421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your SPF domain [example.com 35].", bounce.Spam, false},
		{"550 5.2.1 The email account that you tried to reach is inactive", bounce.Inactive, true},
		{"552 5.2.2 Mailbox size limit exceeded", bounce.MailboxFull, true},
		{"550 Mailbox unavailable or access denied [MxQ0tYb8 IP: 192.0.2.1]", bounce.RateLimit, false},
		{"550 Ip frequency limited", bounce.RateLimit, true},
		{"554 DT:SPM 163 mx26,QMCowAD3CFx2OFVd5+rcBA--.57349S2", bounce.Spam, true},
		{"450 Requested mail action not taken: mailbox unavailable Reject due to policy restrictions.", bounce.Policy, false},
		{"554 gmx.net (mxgmx011) Nemesis ESMTP Service not available No SMTP service Bad DNS PTR resource record.", bounce.Authentication, true},
		{"550 SC-001 (BAY004-MC1F1) Unfortunately, messages from 192.0.2.1 weren't sent.", bounce.Blocklist, true},
		{"451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)", bounce.RateLimit, false},
		{"451 4.7.652 The mail server [192.0.2.1] has exceeded the maximum number of connections.", bounce.RateLimit, false},
		{"550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP.", bounce.Blocklist, true},
		{"554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1", bounce.Blocklist, true},
		{"421 Service Temporarily Unavailable", bounce.System, false},
		{"451 Internal resources are temporarily unavailable - https://community.mimecast.com/docs/DOC-1369#451", bounce.Greylisting, false},
		{"421 4.7.1 Messages to a@icloud.com deferred due to excessive volume.", bounce.RateLimit, false},
		{"454 4.7.5 certificate verification failed", bounce.TLS, false},
		{"299 what", bounce.Unknown, false},
		{"677 5.1.0 beyond", bounce.InvalidRecipient, false},
		{"550", bounce.Unknown, true},
		{"450", bounce.Unknown, false},
		{"", bounce.Unknown, false},
	} {
		got := classifier.Classify(parse(tc.reply))
		if got.Category != tc.category || got.Permanent != tc.permanent {
			t.Errorf("%s\n\t%+v, want %s, permanent %t", tc.reply, got, tc.category, tc.permanent)
		}
	}
}

func TestPolicyNeverSpeaksOfTheAddress(t *testing.T) {
	classifier := bounce.New()
	words := rapid.SampledFrom([]string{
		"user unknown", "mailbox not found", "no such user", "recipient address rejected", "spam", "blocked", "does not exist",
		"5.1.1", "over quota", "<a@example.com>", "https://example.com/x", "access denied",
	})
	rapid.Check(t, func(r *rapid.T) {
		reply := mail.Reply{
			Code:     rapid.IntRange(500, 599).Draw(r, "code"),
			Enhanced: mail.EnhancedCode{Class: 5, Subject: 7, Detail: rapid.IntRange(0, 999).Draw(r, "detail")},
			Text:     strings.Join(rapid.SliceOfN(words, 0, 6).Draw(r, "words"), " "),
		}
		if class := classifier.Classify(reply); class.SpeaksOfAddress() {
			r.Errorf("%v: %+v", reply, class)
		}
	})
}

func FuzzClassify(f *testing.F) {
	f.Add(550, "5.1.1 <a@b>: no such \x00 user")
	f.Add(-1, strings.Repeat("é.", 3000))
	classifier := bounce.New()
	f.Fuzz(func(t *testing.T, code int, text string) {
		class := classifier.Classify(mail.Reply{Code: code, Text: text})
		if class.Category == "" {
			t.Error("no category")
		}
		if class.Permanent && code/100 != 5 && code != 552 {
			t.Errorf("code %d is permanent: %+v", code, class)
		}
	})
}

type sample struct {
	Reply    string `json:"reply"`
	Label    string `json:"label"`
	Class    string `json:"class"`
	Suppress *bool  `json:"suppress_address"`
}

// fitting says which categories agree with a label of other classifiers.
func fitting() map[string][]bounce.Category {
	address := []bounce.Category{bounce.InvalidRecipient, bounce.Inactive}
	reputation := []bounce.Category{bounce.Blocklist, bounce.Spam, bounce.RateLimit, bounce.Policy}
	policy := []bounce.Category{bounce.Policy, bounce.Spam, bounce.Blocklist, bounce.Authentication, bounce.Protocol}
	full, size := []bounce.Category{bounce.MailboxFull}, []bounce.Category{bounce.Size}
	authentication, rate := []bounce.Category{bounce.Authentication}, []bounce.Category{bounce.RateLimit}
	system := []bounce.Category{bounce.System, bounce.Routing, bounce.RateLimit}
	return map[string][]bounce.Category{
		"BadDomain": address, "InactiveMailbox": address, "InvalidRecipient": address, "filtered": append(address, bounce.Policy),
		"hasmoved": address, "hostunknown": address, "invalid_address": address, "notaccept": address, "suspend": address, "userunknown": address,
		"auth_failure": authentication, "authfailure": authentication, "requireptr": authentication,
		"badreputation": reputation, "blocked": append(reputation, bounce.Protocol, bounce.System), "ip_blacklisted": {bounce.Blocklist}, "geo_blocked": policy,
		"policyviolation": append(policy, bounce.RateLimit), "rejected": append(policy, bounce.InvalidRecipient), "securityerror": policy,
		"contenterror": {bounce.Policy, bounce.Protocol}, "virusdetected": policy, "spam_blocked": {bounce.Spam}, "spamdetected": {bounce.Spam},
		"mailbox_full": full, "mailboxfull": full, "exceedlimit": size, "mesgtoobig": size,
		"expired": {bounce.Routing}, "networkerror": {bounce.Routing}, "norelaying": {bounce.Routing, bounce.Blocklist},
		"failedstarttls": {bounce.TLS}, "notcompliantrfc": {bounce.Protocol}, "syntaxerror": {bounce.Protocol},
		"mailererror": system, "systemerror": append(system, bounce.Unknown, bounce.Blocklist), "systemfull": append(system, bounce.MailboxFull),
		"rate_limited": rate, "speeding": rate, "toomanyconn": rate,
	}
}

func corpus(t *testing.T) []sample {
	t.Helper()
	dir := os.Getenv("POSTRIDER_CORPUS")
	if dir == "" {
		dir = "../../../shared/corpus"
	}
	file, err := os.Open(filepath.Join(dir, "replies", "replies.jsonl"))
	if err != nil {
		t.Skip("no corpus of replies: set POSTRIDER_CORPUS")
	}
	defer file.Close()
	var samples []sample
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var s sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		samples = append(samples, s)
	}
	return samples
}

func TestCorpus(t *testing.T) {
	classifier := bounce.New()
	var labels, suppressions tally
	for _, s := range corpus(t) {
		reply := parse(s.Reply)
		class := classifier.Classify(reply)
		fits, known := fitting()[s.Label]
		if known && !labels.count(slices.Contains(fits, class.Category)) {
			t.Logf("label %s, category %s by %s: %s", s.Label, class.Category, class.Rule, s.Reply)
		}
		if s.Suppress != nil && !suppressions.count((class.Permanent && class.SpeaksOfAddress()) == *s.Suppress) {
			t.Logf("suppress %t, %+v: %s", *s.Suppress, class, s.Reply)
		}
	}
	t.Logf("labels: %s; suppression: %s", labels, suppressions)
	if labels.percent() < 95 || suppressions.percent() < 98 {
		t.Error("agreement is too low")
	}
}

type tally struct{ right, all int }

func (c *tally) count(right bool) bool {
	c.all++
	if right {
		c.right++
	}
	return right
}

func (c tally) percent() float64 { return 100 * float64(c.right) / float64(max(c.all, 1)) }

func (c tally) String() string {
	return strconv.Itoa(c.right) + " of " + strconv.Itoa(c.all) + " (" + strconv.FormatFloat(c.percent(), 'f', 1, 64) + " %)"
}

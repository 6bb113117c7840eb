package report_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/report"
)

// parser is made once: its patterns take a while to compile.
var parser = sync.OnceValue(func() *report.Parser { return report.New(bounce.New()) })

func parse(t *testing.T, message string) report.Report {
	t.Helper()
	r, err := parser().Parse([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	head = "Return-Path: <>\r\nFrom: Mail Delivery System <mailer-daemon@mx.example.net>\r\nTo: <token@bounce.example.com>\r\n" +
		"Subject: Undelivered Mail Returned to Sender\r\nMIME-Version: 1.0\r\n"
	multipart = head + "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"b\"\r\n\r\n"
	said      = "--b\r\nContent-Type: text/plain\r\n\r\nI'm sorry to have to inform you that your message could not\r\nbe delivered.\r\n\r\n"
	statusOf  = "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
	group     = "Reporting-MTA: dns; mx.example.net\r\nOriginal-Envelope-Id: envelope 1\r\n\r\n" +
		"Original-Recipient: rfc822;Reader@example.net\r\nFinal-Recipient: rfc822; reader@example.net\r\nAction: failed\r\nStatus: 5.1.1 (no mailbox)\r\n" +
		"Remote-MTA: dns; mx1.example.net\r\nDiagnostic-Code: smtp; 550 5.1.1 <reader@example.net>:\r\n no such user\r\n"
	returned = "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" +
		"Return-Path: <token@bounce.example.com>\r\nMessage-ID: <1@example.com>\r\nFrom: shop@example.com\r\nTo: reader@example.net\r\n" +
		"Feedback-ID: november:marketing:shop:example\r\nCFBL-Address: cfbl@bounce.example.com; report=arf\r\nCFBL-Feedback-ID: abc\r\nX-Job: 7\r\n\r\nhello\r\n--b--\r\n"
	standard = multipart + said + statusOf + group + returned
)

// TestStandard reads every field of a complete report.
func TestStandard(t *testing.T) {
	r := parse(t, standard)
	want := report.Recipient{
		Address: "reader@example.net", FinalRecipient: "rfc822; reader@example.net", OriginalRecipient: "rfc822;Reader@example.net",
		Action: bounce.Failed, Status: "5.1.1", StatusComment: "(no mailbox)", RemoteMTA: "dns; mx1.example.net",
		Diagnostic: "smtp; 550 5.1.1 <reader@example.net>: no such user",
		Verdict:    report.Verdict{Category: bounce.InvalidRecipient, Bounce: report.Hard, Suppresses: true},
	}
	if len(r.Recipients) != 1 {
		t.Fatalf("%+v", r)
	}
	got := r.Recipients[0]
	got.Rule = ""
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if r.Kind != report.DSN || !r.Standard || r.ReportingMTA != "dns; mx.example.net" || r.EnvelopeID != "envelope 1" || r.Truncated {
		t.Errorf("%+v", r)
	}
	o := r.Original
	if o.MessageID != "1@example.com" || o.ReturnPath != "token@bounce.example.com" || o.FeedbackID != "november:marketing:shop:example" ||
		o.CFBLAddress != "cfbl@bounce.example.com; report=arf" || o.CFBLFeedbackID != "abc" || o.Header.Get("x-job") != "7" {
		t.Errorf("%+v", o)
	}
}

// TestDamaged reads the same recipient out of a report however it was treated.
func TestDamaged(t *testing.T) {
	for name, message := range map[string]string{
		"LF":               strings.ReplaceAll(standard, "\r\n", "\n"),
		"no end":           strings.TrimSuffix(standard, "--b--\r\n"),
		"no return":        multipart + said + statusOf + group,
		"cut in the group": multipart + said + statusOf + strings.TrimSuffix(group, "\r\n"),
		"mbox":             "From MAILER-DAEMON Mon Jan  1 00:00:00 2026\r\n" + standard,
		"no field":         strings.Replace(standard, "MIME-Version", "a line of no field\r\nMIME-Version", 1),
		"mixed":            strings.Replace(standard, "multipart/report; report-type=delivery-status", "multipart/mixed", 1),
		"other boundary":   strings.Replace(standard, `"b"`, `"c"`, 1),
		"no type":          head + "\r\n" + said + statusOf + group + returned,
		"plain text":       strings.Replace(standard, "message/delivery-status", "text/plain", 1),
		"inline":           head + "Content-Type: text/plain\r\n\r\nSorry.\r\n\r\n" + group + "\r\n",
		"nested":           head + "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n" + strings.TrimPrefix(multipart, head) + said + statusOf + group + returned + "\r\n--o--\r\n",
		"wrapped":          head + "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: text/plain\r\n\r\nLook at this\r\n--o\r\nContent-Type: message/rfc822\r\n\r\n" + standard + "\r\n--o--\r\n",
		"quoted-printable": strings.Replace(strings.Replace(standard, "delivery-status\r\n\r\nRep", "delivery-status\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nRep", 1), "Reporting-MTA: dns", "Reporting-MTA=\r\n: =64ns", 1),
		"no empty lines":   strings.Replace(standard, "envelope 1\r\n\r\n", "envelope 1\r\n", 1),
	} {
		r := parse(t, message)
		if r.Kind != report.DSN || !r.Standard || len(r.Recipients) != 1 {
			t.Errorf("%s: %s, %+v", name, r.Kind, r.Recipients)
			continue
		}
		if got := r.Recipients[0]; got.Address != "reader@example.net" || got.Action != bounce.Failed || got.Status != "5.1.1" || got.Bounce != report.Hard || !got.Suppresses {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestVerdict goes through what suppresses and what does not.
func TestVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		fields     string
		category   bounce.Category
		bounce     report.Strength
		suppresses bool
	}{
		"no such user":            {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 unknown", bounce.InvalidRecipient, report.Hard, true},
		"status alone":            {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.1.1", bounce.InvalidRecipient, report.Hard, true},
		"no action":               {"Final-Recipient: rfc822; a@example.net\nStatus: 5.1.1", bounce.InvalidRecipient, report.Hard, true},
		"delayed":                 {"Final-Recipient: rfc822; a@example.net\nAction: delayed\nStatus: 4.1.1\nDiagnostic-Code: smtp; 550 5.1.1 unknown", bounce.InvalidRecipient, report.Soft, false},
		"delivered":               {"Final-Recipient: rfc822; a@example.net\nAction: delivered\nStatus: 2.1.5\nDiagnostic-Code: smtp; 550 5.1.1 unknown", "", "", false},
		"relayed":                 {"Final-Recipient: rfc822; a@example.net\nAction: relayed\nStatus: 5.1.1", "", "", false},
		"expanded":                {"Final-Recipient: rfc822; a@example.net\nAction: Expanded (list)\nStatus: 5.1.1", "", "", false},
		"policy status":           {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.7.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user", bounce.InvalidRecipient, report.Soft, false},
		"policy diagnostic":       {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.7.1 no such user", bounce.Policy, report.Soft, false},
		"full":                    {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 552 5.2.2 mailbox full", bounce.MailboxFull, report.Soft, false},
		"expired":                 {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 4.1.1\nDiagnostic-Code: smtp; 450 4.1.1 unverified address", bounce.InvalidRecipient, report.Soft, false},
		"after the content":       {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 user unknown (in reply to end of DATA command)", bounce.InvalidRecipient, report.Soft, false},
		"to the recipient":        {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 user unknown (in reply to RCPT TO command)", bounce.InvalidRecipient, report.Hard, true},
		"bare reply":              {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 : user unknown", bounce.InvalidRecipient, report.Soft, false},
		"reply with the address":  {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 <A@example.net>: user unknown", bounce.InvalidRecipient, report.Hard, true},
		"another code":            {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 5.2.1 <a@example.net>: user unknown", bounce.InvalidRecipient, report.Soft, false},
		"a directory":             {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.4.1\nDiagnostic-Code: smtp; 550 5.4.1 [a@example.net]: Recipient address rejected: Access denied [x.protection.outlook.com]", bounce.InvalidRecipient, report.Hard, true},
		"no such domain":          {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.4.4\nDiagnostic-Code: X-Postfix; Host or domain name not found", bounce.InvalidRecipient, report.Hard, true},
		"no such domain, for now": {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 4.4.4\nDiagnostic-Code: X-Postfix; Host or domain name not found", "", report.Soft, false},
		"no address":              {"Final-Recipient: rfc822; Undisclosed Recipients\nAction: failed\nStatus: 5.1.1", bounce.InvalidRecipient, report.Hard, false},
		"a program":               {"Final-Recipient: rfc822; |/bin/x a@example.net\nAction: failed\nStatus: 5.1.1", bounce.InvalidRecipient, report.Soft, false},
		"output of a program":     {"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: x-unix; no such user", bounce.InvalidRecipient, report.Soft, false},
	} {
		r := parse(t, multipart+statusOf+"Reporting-MTA: dns; x\n\n"+c.fields+"\n\n--b--\n")
		if len(r.Recipients) != 1 {
			t.Errorf("%s: %+v", name, r)
			continue
		}
		got := r.Recipients[0].Verdict
		if c.category != "" && got.Category != c.category || got.Bounce != c.bounce || got.Suppresses != c.suppresses {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestAddresses reads recipients in all their forms.
func TestAddresses(t *testing.T) {
	for fields, want := range map[string]string{
		"Final-Recipient: rfc822; <a@example.net>":                                   "a@example.net",
		"Final-Recipient: a@example.net":                                             "a@example.net",
		"Original-Recipient: rfc822;a@example.net":                                   "a@example.net",
		"Final-Recipient: system;<>\nOriginal-Recipient: rfc822;<b@example.net>":     "b@example.net",
		"Final-Recipient: utf-8; us\\x{E9}r@example.net":                             "usér@example.net",
		"Final-Recipient: utf-8; usér@example.net":                                   "usér@example.net",
		"Final-Recipient: utf-8; \\x{D}\\x{110000}\\x{zz}\\x{41@x":                   "\\x{D}\\x{110000}\\x{zz}\\x{41@x",
		"Final-Recipient: rfc822; \\x{E9}@example.net":                               "\\x{E9}@example.net",
		"Final-Recipient: rfc822;\n \"a;b\"@example.net":                             "\"a;b\"@example.net",
		"Final-Recipient: X-Local; mailbox 7\nOriginal-Recipient: rfc822; c@example": "c@example",
	} {
		r := parse(t, multipart+strings.Replace(statusOf, "delivery-status", "global-delivery-status", 1)+fields+"\nAction: failed\n\n--b--\n")
		if len(r.Recipients) != 1 || r.Recipients[0].Address != want {
			t.Errorf("%s: %+v", fields, r.Recipients)
		}
	}
}

// TestGroups reads several recipients, with and without lines between them.
func TestGroups(t *testing.T) {
	for name, status := range map[string]string{
		"apart":    "Reporting-MTA: x\n\nFinal-Recipient: rfc822;a@x\nAction: failed\n\n\nFinal-Recipient: rfc822;b@x\nAction: delayed\n",
		"together": "Reporting-MTA: x\nFinal-Recipient: rfc822;a@x\nAction: failed\nStatus: 5.0.0\nFinal-Recipient: rfc822;b@x\nAction: delayed\n",
		"twice":    "Final-Recipient: rfc822;a@x\nAction: failed\n\n--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822;b@x\nAction: delayed\n",
	} {
		r := parse(t, multipart+statusOf+status+"\n--b--\n")
		if len(r.Recipients) != 2 || r.Recipients[0].Action != bounce.Failed || r.Recipients[1].Address != "b@x" || r.Recipients[1].Action != bounce.Delayed {
			t.Errorf("%s: %+v", name, r.Recipients)
		}
	}
}

// TestApart: what is said of one recipient is no evidence against another.
func TestApart(t *testing.T) {
	status := statusOf + "Final-Recipient: rfc822;a@example.net\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 user unknown\n\nFinal-Recipient: rfc822;b@example.net\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 user unknown\n\n--b--\n"
	for words, want := range map[string][2]report.Strength{
		"<a@example.net>: host x said: 550 user unknown (in reply to RCPT TO command)\n\n<b@example.net>: host x said: 550 user unknown (in reply to end of DATA\n    command)\n": {report.Hard, report.Soft},
		"<a@example.net>: host x said: 550 user unknown (in reply to RCPT TO command)\n":                                                                                          {report.Hard, report.Soft},
		">>> RCPT To:<b@example.net>\n<<< 550 user unknown\n":                                                                                                                     {report.Soft, report.Hard},
		"550 user unknown\n": {report.Soft, report.Soft},
	} {
		r := parse(t, multipart+"--b\n\n"+words+"\n"+status)
		if len(r.Recipients) != 2 || r.Recipients[0].Bounce != want[0] || r.Recipients[1].Bounce != want[1] {
			t.Errorf("%s: %+v", words, r.Recipients)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, message := range []string{"", "\r\n", "hello", "hello\r\n\r\nworld"} {
		if _, err := parser().Parse([]byte(message)); !errors.Is(err, report.ErrMessage) {
			t.Errorf("%q: %v", message, err)
		}
	}
}

// TestBounds feeds more than is read.
func TestBounds(t *testing.T) {
	var many strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&many, "Final-Recipient: rfc822; a%d@example.net\nAction: failed\nStatus: 5.1.1\n\n", i)
	}
	if r := parse(t, multipart+statusOf+many.String()); len(r.Recipients) != 1000 || !r.Truncated {
		t.Errorf("%d recipients", len(r.Recipients))
	}
	var deep strings.Builder
	for i := range 100 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=x%d\n\n--x%d\n", i, i)
	}
	if r := parse(t, "Subject: x\n"+deep.String()+group); !r.Truncated || len(r.Recipients) != 0 {
		t.Errorf("%+v", r.Recipients)
	}
	if r := parse(t, "Content-Type: multipart/mixed; boundary=x\n\n"+strings.Repeat("--x\n\ny\n", 1000)); !r.Truncated {
		t.Error("a thousand parts were read")
	}
	if r := parse(t, strings.Repeat("X: y\n", 100_000)+"\n"); len(r.Header) > 500 {
		t.Errorf("%d fields", len(r.Header))
	}
	long := parse(t, "Subject: x\n"+strings.Repeat(" "+strings.Repeat("y", 100)+"\n", 10_000))
	if got := len(long.Header.Get("Subject")); got > 8<<10 {
		t.Errorf("a value of %d", got)
	}
	if r := parse(t, standard+strings.Repeat("x", 5<<20)); !r.Truncated || len(r.Recipients) != 1 {
		t.Errorf("%d recipients", len(r.Recipients))
	}
}

// TestService reads the JSON that Amazon SES sends by mail.
func TestService(t *testing.T) {
	const mail = "From: no-reply@sns.example.com\nSubject: Notification\nContent-Type: text/plain\n\n"
	r := parse(t, mail+`{"Type":"Notification","Message":"{\"notificationType\":\"Bounce\",\"bounce\":{\"bouncedRecipients\":[{\"emailAddress\":\"a@example.net\",\"action\":\"failed\",\"status\":\"5.1.1\",\"diagnosticCode\":\"smtp; 550 5.1.1 unk!
 nown\"}]},\"mail\":{\"headers\":[{\"name\":\"Message-ID\",\"value\":\"<1@x>\"}]}}"}`)
	if r.Kind != report.DSN || len(r.Recipients) != 1 || r.Recipients[0].Address != "a@example.net" || !r.Recipients[0].Suppresses || r.Original.MessageID != "1@x" ||
		r.Recipients[0].Diagnostic != "smtp; 550 5.1.1 unknown" {
		t.Errorf("%+v", r)
	}
	r = parse(t, mail+`{"notificationType":"Complaint","complaint":{"complainedRecipients":[{"emailAddress":"a@example.net"}],"userAgent":"x"},"mail":{"source":"b@example.com"}}`)
	if r.Kind != report.ARF || r.Feedback.Type != "abuse" || r.Feedback.OriginalRcptTo[0] != "a@example.net" || r.Original.ReturnPath != "b@example.com" {
		t.Errorf("%+v", r)
	}
	for _, other := range []string{`{"notificationType":`, `{"notificationType":"Delivery"}`, `{"Message":"notificationType"}`, `{"Message":"{}", "x":"notificationType"}`} {
		if r := parse(t, mail+other); r.Kind != report.Other {
			t.Errorf("%s: %+v", other, r)
		}
	}
}

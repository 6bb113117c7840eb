package report_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/report"
)

// check holds what is true of every report.
func check(t *testing.T, r report.Report) {
	t.Helper()
	texts := []string{r.Sign, r.ReportingMTA, r.EnvelopeID, r.Original.MessageID, r.Original.ReturnPath, r.Original.CFBLFeedbackID}
	if r.Kind != report.DSN && len(r.Recipients) > 0 || len(r.Recipients) > 1000 || (r.Kind == report.ARF) != (r.Feedback != nil) {
		t.Errorf("%+v", r)
	}
	for _, one := range r.Recipients {
		texts = append(texts, one.Address, one.Status, one.Diagnostic, one.FinalRecipient, one.RemoteMTA)
		if one.Suppresses {
			if _, err := mail.ParseAddress(one.Address); err != nil || one.Bounce != report.Hard || one.Action != bounce.Failed && one.Action != "" || strings.HasPrefix(one.Status, "5.7.") {
				t.Errorf("suppresses: %+v", one)
			}
		}
		if one.Bounce == report.Hard && one.Category != bounce.InvalidRecipient {
			t.Errorf("hard: %+v", one)
		}
	}
	if r.Feedback != nil {
		texts = append(texts, r.Feedback.Type, r.Feedback.UserAgent, r.Feedback.OriginalMailFrom)
		if r.Feedback.Incidents < 0 {
			t.Errorf("%d incidents", r.Feedback.Incidents)
		}
	}
	for _, text := range texts {
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return c < 0x80 && unicode.IsControl(c) }) || len(text) > 8<<10 {
			t.Errorf("%.100q", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(standard))
	f.Add([]byte(head + "\r\nHi. This is the qmail-send program.\r\n\r\n<a@example.net>:\r\n550 5.1.1 no such user\r\n\r\n--- Below this line is a copy of the message.\r\n\r\nReceived: from x\r\n"))
	f.Add([]byte("From: a\nX-Failed-Recipients: a@b, c@d\nContent-Transfer-Encoding: base64\nContent-Type: text/html; charset=iso-2022-jp\n\nPGI+YUBiPC9iPg"))
	f.Add([]byte("Subject: =?utf-8?q?auto=3A?=\nAuto-Submitted: auto-replied\nContent-Type: multipart/x; boundary=\n\n--\n\n\n----\n"))
	f.Add([]byte("Subject: x\n\n{\"notificationType\":\"Bounce\",\"bounce\":{\"bouncedRecipients\":[{\"emailAddress\":\"a@b\\u0000\"}]}}"))
	f.Add([]byte(multipart + strings.Replace(statusOf, "delivery", "global-delivery", 1) + "Final-Recipient: utf-8; \\x{E9}@b\nAction: failed\nStatus: 5.1.1\n"))
	f.Fuzz(func(t *testing.T, message []byte) {
		r, err := parser().Parse(message)
		if err != nil {
			return
		}
		check(t, r)
	})
}

func FuzzFeedback(f *testing.F) {
	f.Add([]byte(abuse))
	f.Add([]byte("Feedback-Type: auth-failure\nAuth-Failure: spf\n\nSource-IP: [::1]\nIncidents: -1\nArrival-Date: x"))
	f.Add([]byte("\n--b\nContent-Type: message/rfc822\n\nReturn-Path: <a@b"))
	f.Fuzz(func(t *testing.T, fields []byte) {
		r, err := parser().Parse(append([]byte(complaint), fields...))
		if err != nil || r.Kind != report.ARF {
			t.Fatalf("%s, %v", r.Kind, err)
		}
		check(t, r)
	})
}

package main

import (
	"os"
	"strings"
	"testing"
)

// TestBounceParse proves what is printed for each kind of message, from files
// and from standard input, and for what cannot be read.
func TestBounceParse(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	const back = "\n--b\nContent-Type: message/rfc822\n\nReturn-Path: <token@bounce.example.com>\nMessage-ID: <1@example.com>\n\nhello\n--b--\n"
	const dsn = "From: mailer-daemon@example.net\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n" +
		"Reporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822; reader@example.net\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; mx1.example.net\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n\n" +
		"Final-Recipient: rfc822; other@example.net\nAction: delayed\nStatus: 4.2.2 (full)\nDiagnostic-Code: smtp; 452 4.2.2 mailbox full\n\n" +
		"Final-Recipient: rfc822; third@example.net\nAction: relayed\nStatus: 2.0.0\n" + back
	const arf = "From: fbl@example.net\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\nContent-Type: message/feedback-report\n\n" +
		"Feedback-Type: abuse\nUser-Agent: Example/1.0\nVersion: 1\nOriginal-Rcpt-To: reader@example.net\nSource-IP: 192.0.2.1\nArrival-Date: Thu, 8 Mar 2026 14:00:00 +0100\n" + back
	const reply = "From: reader@example.net\nSubject: hello\nAuto-Submitted: auto-replied\n\nI am away.\n"
	const other = "From: reader@example.net\nSubject: hello\n\nHow are you?\n"
	write(t, "dsn.eml", dsn)
	write(t, "arf.eml", arf)
	write(t, "empty.eml", "")
	got := typed(t, reply, "bounce", "parse", "dsn.eml", "arf.eml", "-")
	if got.status != 0 || got.errors != "" {
		t.Errorf("%+v", got)
	}
	failed := typed(t, "", "bounce", "parse", "none.eml", "empty.eml", "dsn.eml", ".")
	if failed.status != 1 || failed.errors != "postrider: 3 files of 4 could not be read as a message\n" || strings.Count(failed.out, "\n") != 4 {
		t.Errorf("%+v", failed)
	}
	input := typed(t, other, "bounce", "parse")
	if input.status != 0 {
		t.Errorf("%+v", input)
	}
	t.Chdir(here)
	golden(t, "bounce-parse.txt", got.out+failed.out+input.out)
}

package offline_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postrider-mta/postrider/daemon/offline"
	"github.com/postrider-mta/postrider/mta/bounce/report"
)

func TestBounceParser(t *testing.T) {
	parse := offline.BounceParser()
	const dsn = "From: mailer-daemon@example.net\nContent-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n" +
		"Final-Recipient: rfc822; reader@example.net\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n\n--b\nContent-Type: message/rfc822\n\nMessage-ID: <1@x>\n--b--\n"
	got, err := parse("a.eml", strings.NewReader(dsn))
	if err != nil || got.File != "a.eml" || got.Kind != report.DSN || len(got.Recipients) != 1 || got.Original == nil || got.Original.MessageID != "1@x" {
		t.Fatalf("%+v, %v", got, err)
	}
	if one := got.Recipients[0]; one.Recipient != "reader@example.net" || one.Category != "invalid_recipient" || one.Bounce != report.Hard || !one.Suppresses {
		t.Errorf("%+v", one)
	}
	const arf = "From: a\nContent-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/feedback-report\n\n" +
		"Feedback-Type: abuse\nSource-IP: ::1\nReported-URI: a\nReported-URI: b\nArrival-Date: Thu, 8 Mar 2026 14:00:00 +0100\nAuth-Failure: spf\n--b--\n"
	got, err = parse("", strings.NewReader(arf))
	if f := got.Feedback; err != nil || f == nil || f.Type != "abuse" || f.SourceIP != "::1" || f.Arrival == nil || f.AuthFailure != "spf" || f.Fields["reported-uri"] != "a\nb" || got.Original != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestBounceParserFails(t *testing.T) {
	parse := offline.BounceParser()
	if got, err := parse("a", strings.NewReader("hello")); !errors.Is(err, report.ErrMessage) || got.Error == "" || got.Kind != "" {
		t.Errorf("%+v, %v", got, err)
	}
	broken := errors.New("broken")
	if got, err := parse("a", iotest.ErrReader(broken)); !errors.Is(err, broken) || got.File != "a" || got.Error != "broken" {
		t.Errorf("%+v, %v", got, err)
	}
}

package report_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/mta/bounce/report"
)

const (
	complaint = "From: fbl@example.net\r\nTo: fbl@example.com\r\nSubject: FW: hello\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse report.\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n"
	abuse = "Feedback-Type: Abuse\r\nUser-Agent: Example/1.0\r\nVersion: 1\r\nOriginal-Mail-From: <token@bounce.example.com>\r\nOriginal-Rcpt-To: <reader@example.net>\r\n" +
		"Original-Rcpt-To: other@example.net\r\nOriginal-Envelope-Id: e1\r\nReporting-MTA: dns; mx.example.net\r\nArrival-Date: Thu, 8 Mar 2026 14:00:00 +0100\r\nSource-IP: 192.0.2.1\r\nIncidents: 3\r\n" +
		"Reported-Domain: example.com\r\nReported-Domain: example.org\r\nReported-URI: https://example.com/a\r\nAuthentication-Results: mx.example.net;\r\n dkim=pass header.d=example.com\r\nX-Own: kept\r\n"
)

func TestFeedback(t *testing.T) {
	r := parse(t, complaint+abuse+returned)
	f := r.Feedback
	if r.Kind != report.ARF || f == nil || len(r.Recipients) != 0 {
		t.Fatalf("%+v", r)
	}
	if f.Type != "abuse" || f.UserAgent != "Example/1.0" || f.Version != "1" || f.OriginalMailFrom != "<token@bounce.example.com>" || f.OriginalEnvelopeID != "e1" || f.ReportingMTA != "dns; mx.example.net" ||
		f.SourceIP != netip.MustParseAddr("192.0.2.1") || f.Incidents != 3 || f.Failure != nil || !f.Arrival.Equal(time.Date(2026, 3, 8, 13, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", f)
	}
	if !slices.Equal(f.OriginalRcptTo, []string{"<reader@example.net>", "other@example.net"}) || !slices.Equal(f.ReportedDomains, []string{"example.com", "example.org"}) ||
		!slices.Equal(f.ReportedURIs, []string{"https://example.com/a"}) || !slices.Equal(f.AuthenticationResults, []string{"mx.example.net; dkim=pass header.d=example.com"}) || f.Fields.Get("x-own") != "kept" {
		t.Errorf("%+v", f)
	}
	if r.Original.ReturnPath != "token@bounce.example.com" || r.Original.CFBLFeedbackID != "abc" || r.Original.MessageID != "1@example.com" {
		t.Errorf("%+v", r.Original)
	}
}

func TestAuthFailure(t *testing.T) {
	r := parse(t, complaint+"Feedback-Type: auth-failure\nUser-Agent: x/1\nVersion: 1\nReceived-Date: 8 Mar 2026 14:00:00 +0100\nAuth-Failure: BodyHash\nDelivery-Result: Policy\n"+
		"DKIM-Domain: example.com\nDKIM-Identity: @example.com\nDKIM-Selector: s1\nDKIM-Selector-DNS: \"v=DKIM1\"\nDKIM-Canonicalized-Header: Zm9v\nDKIM-Canonicalized-Body: YmFy\nSPF-DNS: txt : example.com : \"v=spf1\"\nIdentity-Alignment: none\n"+returned)
	want := report.AuthFailure{
		Auth: "bodyhash", DeliveryResult: "policy", DKIMDomain: "example.com", DKIMIdentity: "@example.com", DKIMSelector: "s1", DKIMSelectorDNS: `"v=DKIM1"`,
		DKIMCanonicalizedHeader: "Zm9v", DKIMCanonicalizedBody: "YmFy", SPFDNS: `txt : example.com : "v=spf1"`, IdentityAlignment: "none",
	}
	if r.Kind != report.ARF || r.Feedback.Failure == nil || *r.Feedback.Failure != want || r.Feedback.Arrival.IsZero() {
		t.Errorf("%+v", r.Feedback)
	}
}

// TestFeedbackDamaged takes complaints apart that are redacted or incomplete.
func TestFeedbackDamaged(t *testing.T) {
	for name, c := range map[string]struct{ message, from string }{
		"redacted":        {complaint + "Feedback-Type: abuse\nOriginal-Rcpt-To: 7f3a@redacted.invalid\nSource-IP: x.x.x.x\nIncidents: none\nArrival-Date: yesterday\n" + returned, "token@bounce.example.com"},
		"empty lines":     {complaint + "Feedback-Type: abuse\n\nOriginal-Mail-From: <token@bounce.example.com>\n", "token@bounce.example.com"},
		"no report":       {strings.Split(complaint, "--b\r\nContent-Type: message")[0] + returned, "token@bounce.example.com"},
		"cut off":         {complaint + "Feedback-Type: abuse\r\nOriginal-Mail-Fr", ""},
		"other multipart": {strings.Replace(complaint, "multipart/report; report-type=feedback-report", "multipart/mixed", 1) + abuse + returned, "token@bounce.example.com"},
		"Outlook.com":     {"From: staff@example.com\nSubject: complaint about message from 192.0.2.1\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nX-HmXmrOriginalRecipient: reader@example.net\nReturn-Path: <token@bounce.example.com>\n\nhello\n--b--\n", "token@bounce.example.com"},
	} {
		r := parse(t, c.message)
		if r.Kind != report.ARF || r.Feedback == nil || r.Original.ReturnPath != c.from || r.Feedback.SourceIP.Is6() {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

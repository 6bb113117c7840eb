package tlsreport

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// parseLetter reads a report as its recipient does.
func parseLetter(t testing.TB, raw []byte) (header netmail.Header, zipped []byte) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || parameters["report-type"] != "tlsrpt" {
		t.Fatalf("%s %v, %v", kind, parameters, err)
	}
	parts := multipart.NewReader(m.Body, parameters["boundary"])
	words, err := parts.NextPart()
	if err != nil || !strings.HasPrefix(words.Header.Get("Content-Type"), "text/plain") {
		t.Fatal(words, err)
	}
	attached, err := parts.NextPart()
	if err != nil || attached.Header.Get("Content-Type") != "application/tlsrpt+gzip" {
		t.Fatal(attached, err)
	}
	if got := attached.FileName(); got != "mail.example.com!example.net!946684800!946771199!200001010123456789abcdef.json.gz" {
		t.Errorf("file name %s", got)
	}
	zipped, err = io.ReadAll(base64.NewDecoder(base64.StdEncoding, attached))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("a third part: %v", err)
	}
	return m.Header, zipped
}

func TestLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r := reporter(t, w.options(t))
		r.Record(good())
		r.Record(bad())
		dane := Session{Domain: "example.net", Policy: Policy{
			Type: TLSA, Strings: []string{"3 1 1 1F850A337E6DB9C609C522D136A475638CC43E1ED424F8EEC8513D747D1D085D"}, Domain: "mx1.example.net",
		}}
		r.Record(dane)
		stop := run(t, r)
		time.Sleep(27 * time.Hour)
		stop()
		raw := w.letters["tls@example.net"][0]
		header, zipped := parseLetter(t, raw)
		for name, want := range map[string]string{
			"From": "<tlsrpt@mail.example.com>", "To": "<tls@example.net>",
			"Subject":              "Report Domain: example.net Submitter: mail.example.com Report-ID: <20000101.0123456789abcdef@mail.example.com>",
			"TLS-Report-Domain":    "example.net",
			"TLS-Report-Submitter": "mail.example.com",
			"TLS-Required":         "No",
			"Date":                 "Sun, 02 Jan 2000 02:01:00 +0000",
			"Message-Id":           "<tlsrpt.20000101.0123456789abcdef@mail.example.com>",
			"Auto-Submitted":       "auto-generated",
			"Mime-Version":         "1.0",
		} {
			if got := header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if bytes.Count(raw, []byte("\n")) != bytes.Count(raw, []byte("\r\n")) || bytes.Contains(raw, []byte("jane")) {
			t.Error("bare line ends, or an address")
		}
		for line := range strings.SplitSeq(string(raw), "\r\n") {
			if len(line) > 120 {
				t.Errorf("long line %s", line)
			}
		}
		report := unzip(t, zipped)
		if len(report.Policies) != 2 || report.Policies[1].Policy.Domain != "mx1.example.net" || report.Policies[1].Policy.Type != TLSA {
			t.Errorf("%+v", report.Policies)
		}
	})
}

// TestReportFields compares the JSON with that of RFC 8460 section 4.4, name by
// name.
func TestReportFields(t *testing.T) {
	w := newWorld()
	r := reporter(t, w.options(t))
	one := newTally()
	for _, s := range []Session{good(), good(), bad()} {
		s = s.clean()
		one.add(&s, 1<<20)
	}
	s := bad()
	s.Failures[0].MXHelo, s.Failures[0].Information = "mx1", "https://example.com/help"
	s = s.clean()
	one.add(&s, 1<<20)
	report := r.report(&waiting{
		waitingKey: waitingKey{"example.net", time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)}, tally: one, id: "x@mail.example.com",
	})
	zipped, err := report.compress()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "organization-name": "Example Ltd.",
  "date-range": {
    "start-datetime": "2026-07-01T00:00:00Z",
    "end-datetime": "2026-07-01T23:59:59Z"
  },
  "contact-info": "postmaster@example.com",
  "report-id": "x@mail.example.com",
  "policies": [
    {
      "policy": {
        "policy-type": "sts",
        "policy-string": [
          "version: STSv1",
          "mode: enforce",
          "mx: *.example.net",
          "max_age: 86400"
        ],
        "policy-domain": "example.net",
        "mx-host": [
          "*.example.net"
        ]
      },
      "summary": {
        "total-successful-session-count": 2,
        "total-failure-session-count": 2
      },
      "failure-details": [
        {
          "result-type": "certificate-expired",
          "sending-mta-ip": "192.0.2.1",
          "receiving-mx-hostname": "mx1.example.net",
          "receiving-ip": "198.51.100.1",
          "failed-session-count": 1,
          "failure-reason-code": "expired, says (address) (address)"
        },
        {
          "result-type": "certificate-expired",
          "sending-mta-ip": "192.0.2.1",
          "receiving-mx-hostname": "mx1.example.net",
          "receiving-mx-helo": "mx1",
          "receiving-ip": "198.51.100.1",
          "failed-session-count": 1,
          "additional-information": "https://example.com/help",
          "failure-reason-code": "expired, says (address) (address)"
        }
      ]
    }
  ]
}
`
	if got := text(t, zipped); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

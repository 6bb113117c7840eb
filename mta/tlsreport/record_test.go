package tlsreport

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func destinations(r Record) string {
	var all []string
	for _, d := range r.Destinations {
		if d.Endpoint != "" {
			all = append(all, d.Endpoint)
			continue
		}
		all = append(all, d.Mailbox.String())
	}
	return strings.Join(all, " ")
}

func TestParseRecord(t *testing.T) {
	for text, want := range map[string]string{
		"v=TLSRPTv1; rua=mailto:reports@example.com":                   "reports@example.com",
		"v=TLSRPTv1;rua=https://reporting.example.com/v1/tlsrpt":       "https://reporting.example.com/v1/tlsrpt",
		"v=TLSRPTv1 ;\trua=mailto:a@example.com;":                      "a@example.com",
		"v=TLSRPTv1; rua=mailto:a@example.com , https://b.example/":    "a@example.com https://b.example/",
		"v=TLSRPTv1; rua=MAILTO:a@EXAMPLE.com":                         "a@example.com",
		"v=TLSRPTv1; rua=mailto:a%2Bb@example.com":                     "a+b@example.com",
		"v=TLSRPTv1; ext=1; rua=mailto:a@example.com; what=ever":       "a@example.com",
		"v=TLSRPTv1; rua=mailto:a@example.com; rua=mailto:b@x.example": "a@example.com",
		"v=TLSRPTv1; rua=mailto:a@example.com?subject=x":               "a@example.com",
		"v=TLSRPTv1; rua=ftp://x.example/,mailto:a@example.com":        "a@example.com",
		"v=TLSRPTv1; rua=http://x.example/,mailto:a@example.com":       "a@example.com",
		"v=TLSRPTv1; rua=https://me:pass@x.example/,https://y.example": "https://y.example",
		"v=TLSRPTv1; rua=mailto:a@example.com!10m,mailto:b@x.example":  "b@x.example",
		"v=TLSRPTv1; rua=https://x.example:8443/a#b":                   "https://x.example:8443/a",
	} {
		record, err := ParseRecord([]string{"v=spf1 -all", text})
		if err != nil || destinations(record) != want {
			t.Errorf("%s: %q, %v", text, destinations(record), err)
		}
	}
}

func TestParseRecordRefuses(t *testing.T) {
	const good = "v=TLSRPTv1; rua=mailto:a@example.com"
	for text, want := range map[string]error{
		"":                                      ErrNoRecord,
		"v=TLSRPTv1":                            ErrNoRecord,
		"v=TLSRPTv2; rua=mailto:a@example.com":  ErrNoRecord,
		"V=TLSRPTv1; rua=mailto:a@example.com":  ErrNoRecord,
		" v=TLSRPTv1; rua=mailto:a@example.com": ErrNoRecord,
		"v=TLSRPTv11; rua=mailto:a@example.com": ErrNoRecord,
		"v=TLSRPTv1;":                           ErrRecord,
		"v=TLSRPTv1; rua=":                      ErrRecord,
		"v=TLSRPTv1; rua":                       ErrRecord,
		"v=TLSRPTv1; RUA=mailto:a@example.com":  ErrRecord,
		"v=TLSRPTv1; rua=mailto:":               ErrRecord,
		"v=TLSRPTv1; rua=mailto:a":              ErrRecord,
		"v=TLSRPTv1; rua=mailto:a@example.com%2Cb@example.com": ErrRecord,
		"v=TLSRPTv1; rua=mailto:%zz@example.com":               ErrRecord,
		"v=TLSRPTv1; rua=https:x":                              ErrRecord,
		"v=TLSRPTv1; rua=https://":                             ErrRecord,
		"v=TLSRPTv1; rua=https://x.example/a b":                ErrRecord,
		good + "; é=1":                                         ErrRecord,
		good + "; =1":                                          ErrRecord,
		good + "; " + strings.Repeat("x", 33) + "=1":           ErrRecord,
		good + "; x=" + strings.Repeat("1", 5000):              ErrRecord,
	} {
		if record, err := ParseRecord([]string{text}); !errors.Is(err, want) || len(record.Destinations) > 0 {
			t.Errorf("%s: %v, %v", text, record, err)
		}
	}
	if _, err := ParseRecord([]string{good, good}); !errors.Is(err, ErrNoRecord) {
		t.Errorf("two records: %v", err)
	}
	if _, err := ParseRecord(nil); !errors.Is(err, ErrNoRecord) {
		t.Errorf("no record: %v", err)
	}
}

func TestDestinationsAreBounded(t *testing.T) {
	var list []string
	for i := range 50 {
		list = append(list, fmt.Sprintf("mailto:a%d@example.com", i))
	}
	record, err := ParseRecord([]string{"v=TLSRPTv1; rua=" + strings.Join(list, ",")})
	if err != nil || len(record.Destinations) != maxDestinations {
		t.Errorf("%d, %v", len(record.Destinations), err)
	}
}

func TestHostHidesTheRest(t *testing.T) {
	record, err := ParseRecord([]string{"v=TLSRPTv1; rua=mailto:jane@example.com,https://x.example:8443/s3cret"})
	if err != nil || record.Destinations[0].Host() != "example.com" || record.Destinations[1].Host() != "x.example" {
		t.Errorf("%+v, %v", record, err)
	}
}

// FuzzParseRecord holds that what passes can be used as it is.
func FuzzParseRecord(f *testing.F) {
	for _, seed := range []string{
		"v=TLSRPTv1; rua=mailto:reports@example.com", "v=TLSRPTv1;rua=https://x.example/a?b=c,mailto:a%40b@example.com;",
		"v=TLSRPTv1 ; a=b; rua=mailto:\"a b\"@example.com", "v=TLSRPTv1;rua=https://[::1]:443/%2f", "v=TLSRPTv1;;;", "v=spf1 -all",
		"v=TLSRPTv1; rua=mailto:a%0d%0aBcc:x@example.com",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		record, err := ParseRecord([]string{text})
		if (err == nil) != (len(record.Destinations) > 0) {
			t.Fatalf("%v, %v", record, err)
		}
		for _, d := range record.Destinations {
			switch {
			case d.Endpoint == "":
				if d.Mailbox.Domain() == "" || strings.ContainsAny(d.Mailbox.String(), "\r\n\x00") {
					t.Fatalf("mailbox %q", d.Mailbox.String())
				}
			case !strings.HasPrefix(d.Endpoint, "https://") || d.Host() == "" || strings.ContainsAny(d.Endpoint, " \r\n"):
				t.Fatalf("endpoint %q", d.Endpoint)
			}
		}
	})
}

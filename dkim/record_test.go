package dkim_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/dkim"
)

func TestRecords(t *testing.T) {
	ed := dkim.Key{Domain: "football.example.com", Selector: "brisbane", Signer: ed25519Key()}
	// RFC 8463 appendix A.2.
	want := "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
	if got, err := dkim.Record(ed); err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	for _, key := range bothKeys(t, "example.com") {
		line, err := dkim.ZoneRecord(key)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := dns.NewRR(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		text, _ := dkim.Record(key)
		record := parsed.(*dns.TXT)
		if strings.Join(record.Txt, "") != text || record.Hdr.Name != key.Name()+"." {
			t.Errorf("%s reads as %v", line, record)
		}
		for _, s := range record.Txt {
			if len(s) > 255 {
				t.Errorf("string of %d octets", len(s))
			}
		}
	}
	if _, err := dkim.Record(dkim.Key{}); !errors.Is(err, dkim.ErrKey) {
		t.Errorf("no key: %v", err)
	}
}

func TestCheckRecord(t *testing.T) {
	keys := bothKeys(t, "example.com")
	rsaText, _ := dkim.Record(keys[0])
	edText, _ := dkim.Record(keys[1])
	p := strings.TrimPrefix(rsaText, "v=DKIM1; k=rsa; ")
	notFound := &net.DNSError{IsNotFound: true}
	for name, tc := range map[string]struct {
		key      dkim.Key
		found    []string
		err      error
		want     []dkim.Finding
		verifies bool
	}{
		"good RSA":          {keys[0], []string{rsaText}, nil, nil, true},
		"good Ed25519":      {keys[1], []string{edText}, nil, nil, true},
		"short form":        {keys[0], []string{p}, nil, nil, true},
		"spaces":            {keys[0], []string{" v = DKIM1 ;h=sha1: sha256;s=email; p=" + p[2:80] + " \t" + p[80:] + ";"}, nil, nil, true},
		"not found":         {keys[0], nil, notFound, []dkim.Finding{dkim.Missing}, false},
		"no records":        {keys[0], nil, nil, []dkim.Finding{dkim.Missing}, false},
		"several":           {keys[0], []string{rsaText, edText}, nil, []dkim.Finding{dkim.Several, dkim.Mismatch, dkim.Restricted}, false},
		"revoked":           {keys[0], []string{"v=DKIM1; p="}, nil, []dkim.Finding{dkim.Revoked}, false},
		"other key":         {keys[1], []string{strings.Replace(edText, "p=11", "p=22", 1)}, nil, []dkim.Finding{dkim.Mismatch}, false},
		"testing":           {keys[0], []string{rsaText + "; t=y:s"}, nil, []dkim.Finding{dkim.Testing, dkim.Strict}, true},
		"hash":              {keys[0], []string{rsaText + "; h=sha1"}, nil, []dkim.Finding{dkim.Restricted}, false},
		"service":           {keys[0], []string{rsaText + "; s=tlsrpt"}, nil, []dkim.Finding{dkim.Restricted}, false},
		"kind":              {keys[1], []string{strings.Replace(edText, "k=ed25519; ", "", 1)}, nil, []dkim.Finding{dkim.Restricted}, false},
		"version":           {keys[0], []string{"v=DKIM2; " + p}, nil, []dkim.Finding{dkim.Malformed}, false},
		"version not first": {keys[0], []string{p + "; v=DKIM1"}, nil, []dkim.Finding{dkim.Malformed}, false},
		"no p":              {keys[0], []string{"v=DKIM1"}, nil, []dkim.Finding{dkim.Malformed}, false},
		"not base64":        {keys[0], []string{"v=DKIM1; p=?"}, nil, []dkim.Finding{dkim.Malformed}, false},
		"no tags":           {keys[0], []string{"hello"}, nil, []dkim.Finding{dkim.Malformed}, false},
		"empty":             {keys[0], []string{""}, nil, []dkim.Finding{dkim.Malformed}, false},
		"tag twice":         {keys[0], []string{rsaText + "; p=x"}, nil, []dkim.Finding{dkim.Malformed}, false},
	} {
		report, err := dkim.CheckRecord(t.Context(), func(_ context.Context, name string) ([]string, error) {
			if name != tc.key.Name() {
				t.Errorf("asked for %s", name)
			}
			return tc.found, tc.err
		}, tc.key)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []dkim.Finding
		for _, problem := range report.Problems {
			got = append(got, problem.Finding)
		}
		if !slices.Equal(got, tc.want) || report.Verifies() != tc.verifies {
			t.Errorf("%s: %v, verifies %t; want %v, %t", name, report.Problems, report.Verifies(), tc.want, tc.verifies)
		}
	}
}

func TestCheckRecordWithoutDNS(t *testing.T) {
	broken := errors.New("time-out")
	_, err := dkim.CheckRecord(t.Context(), func(context.Context, string) ([]string, error) { return nil, broken }, bothKeys(t, "example.com")[0])
	if !errors.Is(err, broken) {
		t.Errorf("%v, want the look-up's error", err)
	}
}

func FuzzCheckRecord(f *testing.F) {
	f.Add("v=DKIM1; k=rsa; p=AAAA; t=y")
	f.Add("=;;=")
	key := dkim.Key{Domain: "example.com", Selector: "s", Signer: ed25519Key()}
	want, _ := dkim.Record(key)
	f.Add(want)
	f.Fuzz(func(t *testing.T, text string) {
		report, err := dkim.CheckRecord(t.Context(), func(context.Context, string) ([]string, error) { return []string{text}, nil }, key)
		if err != nil {
			t.Fatal(err)
		}
		if report.Verifies() && !strings.Contains(strings.Join(strings.Fields(text), ""), "11qYAYKxCrfVS") {
			t.Errorf("%q verifies: %v", text, report.Problems)
		}
	})
}

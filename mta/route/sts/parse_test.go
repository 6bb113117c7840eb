package sts

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/postrider-mta/postrider/internal/mail"
)

func TestRecord(t *testing.T) {
	for text, id := range map[string]string{
		"v=STSv1; id=20160831085700Z;":                  "20160831085700Z",
		"v=STSv1;id=1":                                  "1",
		"v=STSv1; \t id=aZ9 \t ; \t ":                   "aZ9",
		"v=STSv1; x=y; id=1; z-1._=!/<>~":               "1",
		"v=STSv1; id=1; id=2":                           "1",
		"v=STSv1; id=12345678901234567890123456789012":  "12345678901234567890123456789012",
		"v=STSv1; id=123456789012345678901234567890123": "!",
		"v=STSv1;":                "!",
		"v=STSv1; ":               "!",
		"v=STSv1;; id=1":          "!",
		"v=STSv1; id=1;;":         "!",
		"v=STSv1; id=":            "!",
		"v=STSv1; id":             "!",
		"v=STSv1; id=a-b":         "!",
		"v=STSv1; ID=1":           "!",
		"v=STSv1; id =1":          "!",
		"v=STSv1; id= 1":          "!",
		"v=STSv1; x=a=b; id=1":    "!",
		"v=STSv1; x=a b; id=1":    "!",
		"v=STSv1; -x=a; id=1":     "!",
		"v=STSv1; x=\u00e9; id=1": "!",
		"v=STSv1; " + strings.Repeat("x", 33) + "=a;id=1": "!",
		"v=STSv1 ; id=1": "",
		" v=STSv1; id=1": "",
		"V=STSv1; id=1":  "",
		"v=STSv2; id=1":  "",
		"v=STSv1":        "",
		"":               "",
	} {
		got, err := ParseRecord([]string{"v=spf1 -all", text})
		switch {
		case id == "!" && !errors.Is(err, ErrInvalid), id == "" && !errors.Is(err, ErrNoRecord),
			len(id) > 0 && id != "!" && (err != nil || got != id):
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := ParseRecord([]string{"v=STSv1; id=1", "v=STSv1; id=1"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("two records: %v", err)
	}
}

func TestPolicyBody(t *testing.T) {
	const head = "version: STSv1\nmode: enforce\nmax_age: 86400\n"
	for name, tc := range map[string]struct {
		body string
		ok   bool
	}{
		"LF":                   {head + "mx: mx.example.com\n", true},
		"no final line end":    {head + "mx: mx.example.com", true},
		"CRLF":                 {strings.ReplaceAll(head+"mx: mx.example.com\n", "\n", "\r\n"), true},
		"mixed":                {"version: STSv1\r\nmode: enforce\nmax_age: 1\r\nmx: a.b", true},
		"any order":            {"mx: mx.example.com\nmax_age: 1\nmode: enforce\nversion: STSv1\n", true},
		"no blanks":            {"version:STSv1\nmode:enforce\nmax_age:1\nmx:a.b\n", true},
		"many blanks":          {"version: \t STSv1 \t \nmode: enforce\nmax_age: 1\nmx: a.b\n", true},
		"extension":            {head + "mx: a.b\nx-1._: \u00e9t\u00e9 = ; : 1\n", true},
		"first counts":         {head + "mx: a.b\nmode: whatever\nmax_age: x\nversion: STSv9\n", true},
		"wildcard":             {head + "mx: *.example.com\n", true},
		"case of host":         {head + "mx: *.Example.COM\n", true},
		"single label":         {head + "mx: localhost\n", true},
		"none needs no mx":     {"version: STSv1\nmode: none\nmax_age: 1\n", true},
		"empty":                {"", false},
		"blank line":           {head + "\nmx: a.b\n", false},
		"blank line at end":    {head + "mx: a.b\n\n", false},
		"bare CR":              {strings.ReplaceAll(head+"mx: a.b\n", "\n", "\r"), false},
		"CR at end":            {head + "mx: a.b\r", false},
		"two CR":               {head + "mx: a.b\r\r\n", false},
		"leading blank":        {head + " mx: a.b\n", false},
		"blank before colon":   {head + "mx : a.b\n", false},
		"no colon":             {head + "mx a.b\n", false},
		"no value":             {head + "mx:\n", false},
		"blank value":          {head + "mx: a.b\nx: \t\n", false},
		"tab in value":         {head + "mx: a.b\nx: a\tb\n", false},
		"NUL":                  {head + "mx: a.b\nx: a\x00b\n", false},
		"not UTF-8":            {head + "mx: a.b\nx: \xff\n", false},
		"byte order mark":      {"\ufeff" + head + "mx: a.b\n", false},
		"long name":            {head + "mx: a.b\n" + strings.Repeat("x", 33) + ": y\n", false},
		"no version":           {"mode: enforce\nmax_age: 1\nmx: a.b\n", false},
		"no mode":              {"version: STSv1\nmax_age: 1\nmx: a.b\n", false},
		"no max_age":           {"version: STSv1\nmode: enforce\nmx: a.b\n", false},
		"no mx":                {head, false},
		"version":              {strings.Replace(head, "STSv1", "STSv2", 1) + "mx: a.b\n", false},
		"case of version":      {strings.Replace(head, "STSv1", "stsv1", 1) + "mx: a.b\n", false},
		"case of key":          {strings.Replace(head, "mode", "Mode", 1) + "mx: a.b\n", false},
		"case of mode":         {strings.Replace(head, "enforce", "Enforce", 1) + "mx: a.b\n", false},
		"mode":                 {strings.Replace(head, "enforce", "report", 1) + "mx: a.b\n", false},
		"max_age sign":         {strings.Replace(head, "86400", "-1", 1) + "mx: a.b\n", false},
		"max_age fraction":     {strings.Replace(head, "86400", "1.5", 1) + "mx: a.b\n", false},
		"max_age digits":       {strings.Replace(head, "86400", "12345678901", 1) + "mx: a.b\n", false},
		"inner wildcard":       {head + "mx: a.*.example.com\n", false},
		"partial wildcard":     {head + "mx: mx*.example.com\n", false},
		"two wildcards":        {head + "mx: *.*.example.com\n", false},
		"wildcard alone":       {head + "mx: *\n", false},
		"wildcard and dot":     {head + "mx: *.\n", false},
		"leading dot":          {head + "mx: .example.com\n", false},
		"final dot":            {head + "mx: mx.example.com.\n", false},
		"address":              {head + "mx: 192.0.2.1\n", false},
		"literal":              {head + "mx: [192.0.2.1]\n", false},
		"unicode host":         {head + "mx: m\u00fcller.example\n", false},
		"underscore":           {head + "mx: a_b.example\n", false},
		"several hosts a line": {head + "mx: a.b, c.d\n", false},
	} {
		policy, err := ParsePolicy([]byte(tc.body))
		if tc.ok != (err == nil) || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, policy, err)
		}
	}
}

func TestPolicyValues(t *testing.T) {
	policy, err := ParsePolicy([]byte("version: STSv1\nmode: testing\nmx: MX.example.com\nmx: *.example.net\nmax_age: 9999999999\nmax_age: 1\nmode: none\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"version: STSv1", "mode: testing", "mx: mx.example.com", "mx: *.example.net", "max_age: 31557600"}
	if got := policy.Lines(); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	again, err := ParsePolicy([]byte(strings.Join(policy.Lines(), "\r\n")))
	if err != nil || !slices.Equal(again.Lines(), want) {
		t.Errorf("%q, %v", again.Lines(), err)
	}
}

func TestAllows(t *testing.T) {
	policy := Policy{MX: []string{"mx.example.com", "*.example.net"}}
	for host, want := range map[mail.Domain]bool{
		"mx.example.com": true, "mx2.example.com": false, "example.com": false, "a.mx.example.com": false,
		"a.example.net": true, "example.net": false, "a.b.example.net": false, "xexample.net": false, "": false, "net": false,
	} {
		if got := policy.Allows(host); got != want {
			t.Errorf("%s: %t", host, got)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z;")
	f.Add("v=STSv1;id=1;id=2;x=y")
	f.Add("v=STSv1;;")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseRecord([]string{text})
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrNoRecord) {
				t.Error(err)
			}
			return
		}
		if again, err := ParseRecord([]string{"v=STSv1; id=" + id}); err != nil || again != id {
			t.Errorf("id %q: %v", id, err)
		}
	})
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte("version: STSv1\r\nmode: enforce\r\nmx: *.example.com\r\nmax_age: 604800\r\n"))
	f.Add([]byte("version: STSv1\nmode: none\nmax_age: 0"))
	f.Add([]byte("mx: \xff\n:\n\r"))
	f.Fuzz(func(t *testing.T, body []byte) {
		policy, err := ParsePolicy(body)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || !utf8.ValidString(err.Error()) {
				t.Error(err)
			}
			return
		}
		if policy.MaxAge < 0 || policy.MaxAge > MaxAge || policy.Mode.check() != nil {
			t.Errorf("%+v", policy)
		}
		again, err := ParsePolicy([]byte(strings.Join(policy.Lines(), "\n")))
		if err != nil || !slices.Equal(again.Lines(), policy.Lines()) {
			t.Errorf("%q reads as %q: %v", policy.Lines(), again.Lines(), err)
		}
		for _, pattern := range policy.MX {
			if host := mail.Domain(strings.Replace(pattern, "*", "a", 1)); !policy.Allows(host) {
				t.Errorf("%q does not allow %q", pattern, host)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	now := time.Unix(1_700_000_000, 0).UTC()
	seed, err := encode([]entry{newEntry("a.example", "1", enforce(time.Hour, "*.example"), now, time.Hour)}, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"version":1,"policies":[{"domain":"..","mode":"x"},{"domain":"a.example","id":"1","mode":"none","max_age":-1}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, _, err := decode(data, now, time.Hour)
		if err != nil {
			return
		}
		first, err := encode(entries, now)
		if err != nil {
			t.Fatal(err)
		}
		again, bad, err := decode(first, now, time.Hour)
		if err != nil || bad != 0 || len(again) != len(entries) {
			t.Errorf("%s reads as %d of %d, %d bad: %v", first, len(again), len(entries), bad, err)
		}
	})
}

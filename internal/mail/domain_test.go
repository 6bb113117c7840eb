package mail_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
)

func TestParseDomain(t *testing.T) {
	for in, want := range map[string]mail.Domain{
		"example.com":        "example.com",
		"EXAMPLE.Com.":       "example.com",
		"a":                  "a",
		"a_b.example":        "a_b.example",
		"123.example":        "123.example",
		"example.123":        "example.123",
		"Bücher.Example":     "xn--bcher-kva.example",
		"BÜCHER.example.":    "xn--bcher-kva.example",
		"XN--BCHER-KVA.ex":   "xn--bcher-kva.ex",
		"faß.de":             "xn--fa-hia.de",
		"ｅｘａｍｐｌｅ．com":        "example.com",
		"例え。テスト":             "xn--r8jz45g.xn--zckzah",
		"例え。テスト。":            "xn--r8jz45g.xn--zckzah",
		"[192.0.2.1]":        "[192.0.2.1]",
		"[IPV6:2001:DB8::1]": "[IPv6:2001:db8::1]",
	} {
		if got, err := mail.ParseDomain(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	label := strings.Repeat("a", 63)
	name := strings.Join([]string{label, label, label, label[:61]}, ".")
	if got, err := mail.ParseDomain(name); err != nil || string(got) != name {
		t.Errorf("253 octets: %v", err)
	}
	for _, in := range []string{
		"", ".", "..", "a..", "a..b", ".a", "-a", "a-", "a b", "a\tb", "a/b", "a@b", "a>b", "a\r\n", "a\x00", "\xff", "℀.com", "a．．b",
		"1.2.3.4", "1.2.3.4.", "::1", "fe80::1", "１.2.3.4", name + "a", label + "a.com", "[1.2.3.4", "[IPv6:1.2.3.4]", "[2001:db8::1]", "[IPv6:::1%a]", "[]",
		"\u200db.com", strings.Repeat("ü", 60) + ".example",
	} {
		if got, err := mail.ParseDomain(in); !errors.Is(err, mail.ErrDomain) || got != "" {
			t.Errorf("%q passed as %q", in, got)
		}
	}
}

func TestDomainLiteral(t *testing.T) {
	for in, want := range map[string]string{"[192.0.2.1]": "192.0.2.1", "[IPv6:2001:db8::1]": "2001:db8::1"} {
		d, err := mail.ParseDomain(in)
		if addr, ok := d.Literal(); err != nil || !ok || addr != netip.MustParseAddr(want) {
			t.Errorf("%q: %v, %v, %v", in, addr, ok, err)
		}
	}
	if addr, ok := mail.Domain("example.com").Literal(); ok {
		t.Error(addr)
	}
}

func TestDomainWithin(t *testing.T) {
	for _, tc := range []struct {
		domain, parent mail.Domain
		want           bool
	}{
		{"example.com", "example.com", true},
		{"a.b.example.com", "example.com", true},
		{"badexample.com", "example.com", false},
		{"com", "example.com", false},
		{"example.com.evil.org", "example.com", false},
	} {
		if got := tc.domain.Within(tc.parent); got != tc.want {
			t.Errorf("%s within %s: %v", tc.domain, tc.parent, got)
		}
	}
}

func TestDomainJSON(t *testing.T) {
	var d mail.Domain
	if err := json.Unmarshal([]byte(`"Bücher.example"`), &d); err != nil || d != "xn--bcher-kva.example" {
		t.Error(d, err)
	}
	if err := json.Unmarshal([]byte(`"a b"`), &d); !errors.Is(err, mail.ErrDomain) {
		t.Error(err)
	}
}

// FuzzParseDomain holds that what passes is plain, and its own normal form.
func FuzzParseDomain(f *testing.F) {
	for _, seed := range []string{"example.com", "Bücher.example.", "xn--a", "a．b。", "[IPv6:::ffff:1.2.3.4]", "[1.2.3.4]", "1.2.3.4", "\u00ad.com", "℀", "ẞ.de", "a\u0323.b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := mail.ParseDomain(s)
		if err != nil {
			if !errors.Is(err, mail.ErrDomain) || d != "" {
				t.Fatalf("%q: %q, %v", s, d, err)
			}
			return
		}
		name := string(d)
		if _, literal := d.Literal(); literal {
			name = strings.NewReplacer("[IPv6:", "", "[", "", "]", "", ":", "").Replace(name)
		}
		if name == "" && d != "[IPv6:::]" || len(d) > 253 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
			t.Errorf("%q passed as %q", s, d)
		}
		if again, err := mail.ParseDomain(string(d)); err != nil || again != d {
			t.Errorf("%q becomes %q, %v", d, again, err)
		}
	})
}

package mail_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/postrider-mta/postrider/internal/mail"
)

func TestParseAddress(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, tc := range []struct{ in, want string }{
		{"user@example.com", "user@example.com"},
		{"User.Name+tag@EXAMPLE.com", "User.Name+tag@example.com"},
		{"!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com"},
		{long + "@example.com", long + "@example.com"},
		{"user@localhost", "user@localhost"},
		{"user@xn--bcher-kva.example", "user@xn--bcher-kva.example"},
		{"user@Bücher.example", "user@xn--bcher-kva.example"},
		{"jürgen@example.com", "jürgen@example.com"},
		{`"user"@example.com`, "user@example.com"},
		{`"a b"@example.com`, `"a b"@example.com`},
		{`"\a\ b"@example.com`, `"a b"@example.com`},
		{`"a\"b"@example.com`, `"a\"b"@example.com`},
		{`"a\\"@example.com`, `"a\\"@example.com`},
		{`"a@b"@example.com`, `"a@b"@example.com`},
		{`".a"@example.com`, `".a"@example.com`},
		{`""@example.com`, `""@example.com`},
		{"user@[192.0.2.1]", "user@[192.0.2.1]"},
		{"user@[ipv6:2001:DB8:0::1]", "user@[IPv6:2001:db8::1]"},
	} {
		address, err := mail.ParseAddress(tc.in)
		if err != nil || address.String() != tc.want {
			t.Errorf("%q: %q, %v", tc.in, address, err)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, in := range []string{
		"", "@", "user", "user@", "@example.com", "user@@example.com", "a@b@example.com",
		".user@example.com", "user.@example.com", "us..er@example.com", "us er@example.com",
		"user@example.com.", "user@.example.com", "user@exa mple.com", "user@-example.com", "user@example-.com",
		"<user@example.com>", "user@example.com>", "User <user@example.com>", "@relay.example:user@example.com",
		"user(comment)@example.com", "user@example.com (comment)", "user,other@example.com", "a:b@example.com",
		`"user@example.com`, `user"@example.com`, `"us"er"@example.com`, `"a"b@example.com`, `"a\"@example.com`, `"`, `"@example.com`,
		"user@example.com\r\nRCPT TO:<x@example.com>", "us\r\ner@example.com", "\"us\r\ner\"@example.com", "\"a\x00b\"@example.com",
		"\"a\x7fb\"@example.com", "us\u0085er@example.com", "\"a\u2028b\"@example.com", "us\xffer@example.com", "user@ex\xffample.com",
		strings.Repeat("a", 65) + "@example.com", `"` + strings.Repeat("a", 62) + ` b"@example.com`,
		"user@" + strings.Repeat("a", 64) + ".com", strings.Repeat("a", 64) + "@" + strings.Repeat("a.", 94) + "aaa",
		"user@127.0.0.1", "user@[127.0.0.1", "user@127.0.0.1]", "user@[127.0.0.256]", "user@[::1]", "user@[IPv6:127.0.0.1]", "user@[IPv6:fe80::1%eth0]", "user@[]", "user@[IPv6:]",
	} {
		address, err := mail.ParseAddress(in)
		if !errors.Is(err, mail.ErrAddress) {
			t.Errorf("%q passed as %q, %v", in, address, err)
		}
		if err != nil && len(in) > 20 && strings.Contains(err.Error(), in) {
			t.Errorf("the error shows the address: %v", err)
		}
	}
}

func TestMakeAddress(t *testing.T) {
	for local, want := range map[string]string{
		"user":            "user",
		"a.b":             "a.b",
		"a b":             `"a b"`,
		`a"b\`:            `"a\"b\\"`,
		"c> NOTIFY=NEVER": `"c> NOTIFY=NEVER"`,
		"a@b":             `"a@b"`,
		".":               `"."`,
		"jürgen":          "jürgen",
	} {
		address, err := mail.MakeAddress(local, "example.com")
		if err != nil || address.Local() != want || address.Domain() != "example.com" {
			t.Errorf("%q: %q, %v", local, address, err)
		}
	}
	for _, local := range []string{"", "a\r\nb", "a\x00", "\xff", strings.Repeat("a", 65), strings.Repeat(" ", 63)} {
		if address, err := mail.MakeAddress(local, "example.com"); !errors.Is(err, mail.ErrAddress) {
			t.Errorf("%q passed as %q", local, address)
		}
	}
	if _, err := mail.MakeAddress("user", ""); err == nil {
		t.Error("no domain passed")
	}
}

func TestAddressForms(t *testing.T) {
	var null mail.Address
	if !null.IsZero() || null.String() != "" || null.Masked() != "<>" || !null.ASCII() {
		t.Errorf("null reverse-path: %q %q", null, null.Masked())
	}
	for _, tc := range []struct {
		in, masked, key string
		ascii           bool
	}{
		{"John.Doe@Example.com", "J***@example.com", "john.doe@example.com", true},
		{`"John Doe"@example.com`, "J***@example.com", `"john doe"@example.com`, true},
		{"Ünal@bücher.example", "Ü***@xn--bcher-kva.example", "ünal@xn--bcher-kva.example", false},
		{"\u202ebob@example.com", "?***@example.com", "\u202ebob@example.com", false},
		{`""@example.com`, `"***@example.com`, `""@example.com`, true},
	} {
		address, err := mail.ParseAddress(tc.in)
		if err != nil || address.Masked() != tc.masked || address.Key() != tc.key || address.ASCII() != tc.ascii {
			t.Errorf("%q: %q, %q, %v, %v", tc.in, address.Masked(), address.Key(), address.ASCII(), err)
		}
	}
}

func TestAddressJSON(t *testing.T) {
	type pair struct{ From, To mail.Address }
	to, _ := mail.ParseAddress(`"a b"@example.com`)
	data, err := json.Marshal(pair{To: to})
	if err != nil {
		t.Fatal(err)
	}
	var back pair
	if err := json.Unmarshal(data, &back); err != nil || back != (pair{To: to}) {
		t.Errorf("%s: %+v, %v", data, back, err)
	}
	if err := json.Unmarshal([]byte(`{"To":"nobody"}`), &back); !errors.Is(err, mail.ErrAddress) {
		t.Error(err)
	}
}

func seeds(f *testing.F) {
	for _, seed := range []string{
		"user@example.com", `"a\" b"@example.com`, `"c> NOTIFY=NEVER <d"@e`, "jürgen@bücher.example", "a@[IPv6:::1]",
		"a@b.", "a@b。", "a@b．c", "a@ｅｘａｍｐｌｅ.com", "a@℀.com", "a@1.2.3.4", `""@a`, "a\r\n@b", "a@xn--a", "a@\u00adb", "a@faß.de",
	} {
		f.Add(seed)
	}
}

// FuzzParseAddress holds that what passes can be written between angle
// brackets, is its own normal form, and hides behind Masked.
func FuzzParseAddress(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, s string) {
		a, err := mail.ParseAddress(s)
		if err != nil {
			if !errors.Is(err, mail.ErrAddress) || !a.IsZero() {
				t.Fatalf("%q: %v, %v", s, a, err)
			}
			return
		}
		checkWire(t, a)
		if again, err := mail.ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%q becomes %q, %v", a, again, err)
		}
		if a.Key() != strings.ToLower(a.Key()) {
			t.Errorf("key %q", a.Key())
		}
		masked := strings.TrimSuffix(a.Masked(), "***@"+a.Domain().String())
		if utf8.RuneCountInString(masked) != 1 {
			t.Errorf("%q is masked as %q", a, a.Masked())
		}
	})
}

// checkWire reads a as a server would that knows only quotes and backslashes.
func checkWire(t *testing.T, a mail.Address) {
	quoted, escaped := false, false
	for _, r := range a.String() {
		switch {
		case unicode.IsControl(r) || r == utf8.RuneError:
			t.Errorf("%q holds %q", a, r)
		case escaped:
			escaped = false
		case quoted && r == '\\':
			escaped = true
		case r == '"':
			quoted = !quoted
		case !quoted && strings.ContainsRune(" <>\\(),;", r):
			t.Errorf("%q holds a bare %q", a, r)
		}
	}
	if quoted || len(a.Local()) > 64 || len(a.String()) > 254 {
		t.Errorf("%q", a)
	}
}

// FuzzMakeAddress holds that whatever a protocol library unquoted can be
// quoted again.
func FuzzMakeAddress(f *testing.F) {
	for _, seed := range []string{"user", "a b", `a"b\`, "c> NOTIFY=NEVER <d", "\r\n", "."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, local string) {
		a, err := mail.MakeAddress(local, "example.com")
		if err != nil {
			return
		}
		checkWire(t, a)
		if again, err := mail.ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%q becomes %q, %v", a, again, err)
		}
	})
}

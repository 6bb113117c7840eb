package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the bad files say into their .want files")

// TestBad parses every bad file and compares all that is said with the file
// beside it.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no bad files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(filepath.Base(file), data, "")
			if c != nil || err == nil {
				t.Fatal("no error")
			}
			if _, ok := errors.AsType[Errors](err); !ok {
				t.Fatalf("%T instead of Errors", err)
			}
			wantFile := strings.TrimSuffix(file, ".toml") + ".want"
			if *update {
				if err := os.WriteFile(wantFile, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, readErr := os.ReadFile(wantFile)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if got := err.Error() + "\n"; got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestGood parses every good file.
func TestGood(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no good files", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(file, data, "/run/credentials"); err != nil {
			t.Error(err)
		}
	}
}

func parseFull(t *testing.T) *Config {
	t.Helper()
	data, err := os.ReadFile("testdata/good/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("/etc/postrider/full.toml", data, "/run/credentials")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestResolved looks at what follows from other keys, or from where the file
// is.
func TestResolved(t *testing.T) {
	c := parseFull(t)
	for _, tc := range []struct {
		name      string
		got, want any
	}{
		{"host name is normalised", c.Hostname, "mail.example.com"},
		{"EHLO name follows the host name", c.Delivery.EHLOName, "mail.example.com"},
		{"relative path", c.DataDir, "/etc/postrider/data"},
		{"socket follows the data", c.Admin.Socket, "/etc/postrider/data/admin.sock"},
		{"keys follow the data", c.Tracking.Keys, "/etc/postrider/data/tracking.keys"},
		{"relative socket", c.Listeners[2].Address, "unix:/etc/postrider/smtp.sock"},
		{"socket mode", c.Listeners[2].SocketMode, os.FileMode(0o600)},
		{"default of a listener", c.Listeners[0].TLS, "none"},
		{"no tenant is guessed among several", c.Listeners[0].Tenant, ""},
		{"relative file", c.Listeners[3].Certificate, "/etc/postrider/tls.crt"},
		{"credential", c.Listeners[3].Key, SecretFile("/run/credentials/tls.key")},
		{"one address is a network", c.Listeners[3].ProxyNetworks[0].String(), "10.0.0.1/32"},
		{"hexadecimal", c.Limits.Connections, 16},
		{"list of one", c.Delivery.Resolvers, []string{"127.0.0.1:53"}},
		{"site without a limit", c.Sites[0].Rate, Rate{}},
		{"site leaves out", c.Sites[0].Connections, 0},
		{"site's own", c.Sites[1].Connections, 3},
		{"site leaves out the rate", c.Sites[1].Rate.Messages, 0},
		{"site is an A-label", c.Sites[1].Match, "xn--bcher-kva.example"},
		{"default of a site", c.Sites[1].Family, Inherited},
		{"family of a site", c.Sites[0].Family, "prefer-ipv4"},
		{"source's EHLO name follows", c.Sources[0].EHLOName, "mail.example.com"},
		{"source's own EHLO name", c.Sources[1].EHLOName, "b.example.com"},
		{"source's password", c.Sources[2].ProxyPasswordFile, SecretFile("/etc/postrider/proxy.password")},
		{"weights", c.Pools[0].Sources, []PoolSource{{"a", 3}, {"b", 1}}},
		{"first pool", c.Delivery.Pool, "both"},
		{"tenant's pool", c.Tenants[1].Pool, "bank"},
		{"list of one tenant", c.Pools[1].Tenants, []string{"bank"}},
		{"tracking URL of all", c.Tenants[0].TrackingURL, "https://t.example.com"},
		{"tracking URL of its own", c.Tenants[1].TrackingURL, "https://t.bank.example"},
		{"streams", c.Tenants[0].Streams, []Stream{
			{
				Name: "news", Track: "none", Measure: "individual", TrackText: true, UTM: "utm_source=shop&utm_medium=e%6Dail&utm_campaign={campaign}",
				UTMHosts: []string{"shop.example", "example.org"}, MaxAge: day + day/2, Weight: 1, Suppressed: "refuse", TLS: Inherited, Notify: "asked", Checks: "off", Check: defaultChecks(), TimeZone: "UTC", VERP: true, RateAction: Inherited,
			},
			{
				Name: "marketing", Track: "all", Measure: "individual", Unsubscribe: true, Weight: 2, Suppressed: "drop",
				Windows: []string{"Mon-Fri 08:00-20:00", "Sat 10:00-16:00"}, TLS: Inherited, Notify: "off", Checks: "warn", Check: defaultChecks(), TimeZone: "Europe/Berlin",
				RateAction: "slow", BounceAct: 7, ComplaintAct: 0.2,
			},
			{Name: "transactional", Track: "none", Measure: "individual", Weight: 4, Suppressed: "refuse", TLS: Inherited, Notify: "asked", Checks: "off", Check: defaultChecks(), TimeZone: "UTC", VERP: true, RateAction: Inherited},
		}},
		{"quotas", [3]int{c.Tenants[1].MaxMessages, int(c.Tenants[1].MaxBytes), c.Tenants[1].MaxPerHour}, [3]int{1000, 1_000_000_000, 500}},
		{"no quotas", [3]int{c.Tenants[0].MaxMessages, int(c.Tenants[0].MaxBytes), c.Tenants[0].MaxPerHour}, [3]int{}},
		{"windows of the tenant", c.Tenants[1].Streams, []Stream{
			{Name: "transactional", Track: "none", Measure: "individual", Weight: 4, Suppressed: "refuse", Windows: []string{}, TLS: Inherited, Notify: "asked", Checks: "off", Check: defaultChecks(), TimeZone: "America/New_York", VERP: true, RateAction: Inherited},
			{Name: "marketing", Track: "all", Measure: "individual", Unsubscribe: true, Weight: 1, Suppressed: "refuse", Windows: []string{"22:00-06:00"}, TLS: Inherited, Notify: "off", Checks: "warn", Check: defaultChecks(), TimeZone: "America/New_York", VERP: true, RateAction: Inherited},
		}},
		{"built-in streams", Default().Tenants[0].Streams, []Stream{
			{Name: "transactional", Track: "none", Measure: "individual", Weight: 4, Suppressed: "refuse", TLS: Inherited, Notify: "asked", Checks: "off", Check: defaultChecks(), TimeZone: "UTC", VERP: true, RateAction: Inherited},
			{Name: "marketing", Track: "all", Measure: "individual", Unsubscribe: true, Weight: 1, Suppressed: "refuse", TLS: Inherited, Notify: "off", Checks: "warn", Check: defaultChecks(), TimeZone: "UTC", VERP: true, RateAction: Inherited},
		}},
		{"suppression", c.Suppression, Suppression{SoftBounces: 3, SoftSpan: 7 * day, HardFor: 365 * day}},
		{"admin off", c.Admin.HTTP, ""},
		{"vendors", c.Credentials[0].VendorHeaders, []string{"sendgrid", "ses"}},
		{"the tracker's authority", c.Tracking.ACME, ACME{"https://acme.example.com/directory", "postmaster@example.com", true}},
		{"no limit", c.Tracking.RequestsPerSecond, 0},
		{"nobody exempt", len(c.Tracking.ExemptNetworks), 0},
		{"bounce domain of all", c.Tenants[0].BounceDomain, "bounce.example.com"},
		{"bounce domain of its own", c.Tenants[1].BounceDomain, "bounce.bank.example"},
		{"list of one address", c.Bounces.Listen, []string{"127.0.0.1:2526"}},
		{"no bounce domain", Default().Tenants[0].BounceDomain, ""},
		{"recorded for ever", c.Tracking.RecordFor, 0 * day},
		{"recorded for a year", Default().Tracking.RecordFor, 365 * day},
		{"never too soon", c.Tracking.TooSoon, 0 * day},
		{"signals ignored", c.Tracking.RespectSignals, false},
		{"signals respected", Default().Tracking.RespectSignals, true},
	} {
		if !reflect.DeepEqual(tc.got, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, tc.got, tc.want)
		}
	}
}

// TestDefault compares the defaults with a file that sets only the host name.
func TestDefault(t *testing.T) {
	c, err := Parse("minimal.toml", []byte(`hostname = "mail.example.com"`), "")
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	if want.Hostname != "" || len(want.Tenants) != 1 || len(want.Listeners) != 1 || want.Listeners[0].Tenant != "default" {
		t.Errorf("Default: %+v", want)
	}
	want.Hostname, want.Delivery.EHLOName = "mail.example.com", "mail.example.com"
	want.Sources[0].EHLOName = "mail.example.com"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestEveryMistakeAtOnce counts the lines of one file with a mistake in each.
func TestEveryMistakeAtOnce(t *testing.T) {
	data, err := os.ReadFile("testdata/bad/values.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("x", data, "")
	problems, _ := errors.AsType[Errors](err)
	reported := map[int]bool{}
	for i, p := range problems {
		reported[p.Line] = true
		if i > 0 && p.Line < problems[i-1].Line {
			t.Error("not in the order of the lines")
		}
		if p.Column < 1 || p.Key == "" || p.Message == "" || p.File != "x" {
			t.Errorf("incomplete: %+v", p)
		}
	}
	for i, line := range strings.Split(string(data), "\n") {
		if strings.Contains(line, "=") && !reported[i+1] {
			t.Errorf("line %d passed: %s", i+1, line)
		}
	}
}

// TestTags proves that the tags of the structs name what exists.
func TestTags(t *testing.T) {
	walk(t, reflect.TypeFor[Config]())
}

func walk(t *testing.T, s reflect.Type) {
	for i := range s.NumField() {
		f := s.Field(i)
		kind := f.Type
		if kind.Kind() == reflect.Slice {
			kind = kind.Elem()
		}
		if isTable(kind) {
			walk(t, kind)
		}
		if f.Tag.Get("toml") == "" {
			t.Errorf("%s.%s has no key", s, f.Name)
		}
		if is := f.Tag.Get("is"); is != "" && formats()[is].expected == "" {
			t.Errorf("%s.%s: unknown format %s", s, f.Name, is)
		}
		for _, bound := range []string{f.Tag.Get("min"), f.Tag.Get("max")} {
			if bound != "" && !parseInto(reflect.New(kind).Interface(), bound) {
				t.Errorf("%s.%s: bound %s", s, f.Name, bound)
			}
		}
	}
}

func TestNetwork(t *testing.T) {
	if n, a := Network("unix:/run/x"); n != "unix" || a != "/run/x" {
		t.Error(n, a)
	}
	if n, a := Network("127.0.0.1:25"); n != "tcp" || a != "127.0.0.1:25" {
		t.Error(n, a)
	}
}

func TestNeedsRestart(t *testing.T) {
	a, b := parseFull(t), parseFull(t)
	if keys := NeedsRestart(a, b); keys != nil {
		t.Error("of the same file:", keys)
	}
	b.Log.Level, b.Limits.Connections, b.Delivery.Rate = "debug", 1, Rate{}
	b.Tenants, b.Credentials, b.DKIM, b.Routes, b.Sites = nil, nil, nil, nil, nil
	b.Tracking.URL, b.Listeners[0].TrustedNetworks = "https://x.example", nil
	if keys := NeedsRestart(a, b); keys != nil {
		t.Error("of what reloads:", keys)
	}
	b.DataDir, b.Queue.MaxAge, b.Listeners[0].Address = "x", 0, ":25"
	want := []string{"data_dir", "listener", "queue.max_age"}
	if keys := NeedsRestart(a, b); !reflect.DeepEqual(keys, want) {
		t.Errorf("got %v, want %v", keys, want)
	}
}

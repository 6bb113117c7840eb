package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
)

// FuzzParse holds that nothing panics, that every error has its place in the
// file, and that what passes is what the rooms behind can take.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.toml", exampleFile} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.toml", data, "/run/credentials")
		if (c == nil) == (err == nil) {
			t.Fatal("neither or both", c, err)
		}
		if err != nil {
			checkPlaces(t, err, len(data))
			return
		}
		checkDomains(t, c)
	})
}

func checkPlaces(t *testing.T, err error, size int) {
	problems, ok := errors.AsType[Errors](err)
	if !ok || len(problems) == 0 {
		t.Fatalf("%T: %v", err, err)
	}
	for _, p := range problems {
		if p.Line < 1 || p.Column < 1 || p.Line+p.Column > size+2 || p.Message == "" {
			t.Errorf("misplaced: %+v in %d octets", p, size)
		}
	}
}

// checkDomains proves that this package takes no name that the rest of the
// daemon refuses or spells otherwise.
func checkDomains(t *testing.T, c *Config) {
	names := []string{c.Hostname, c.Delivery.EHLOName}
	for _, k := range c.DKIM {
		names = append(names, k.Domain)
	}
	for _, s := range c.Sites {
		names = append(names, s.Match)
	}
	for _, r := range c.Credentials {
		names = append(names, r.FromDomains...)
	}
	for _, name := range names {
		if parsed, err := mail.ParseDomain(name); err != nil || string(parsed) != name {
			t.Errorf("%q: %q, %v", name, parsed, err)
		}
	}
}

func FuzzDomain(f *testing.F) {
	for _, seed := range []string{"example.com", "BÜCHER.example.", "xn--a", "a..b", "-a.b", "a．b", "faß.de", "127.0.0.1", "1.2.3.4.5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, ok := domain(s)
		if !ok {
			return
		}
		parsed, err := mail.ParseDomain(s)
		if err != nil || string(parsed) != name {
			t.Errorf("%q: %q here, %q in mail, %v", s, name, parsed, err)
		}
		if again, ok := domain(name); !ok || again != name {
			t.Errorf("%q becomes %q", name, again)
		}
	})
}

func FuzzUTM(f *testing.F) {
	for _, seed := range []string{"utm_source=shop&utm_campaign={campaign}", "a=%6d+b", "a", "=b", "a=b&a=c", "%61=b", "a=%ff", "a=;", "a=b&", "a=\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := account.ParseUTM(s); isUTM(s) && err != nil {
			t.Errorf("%q: %v", s, err)
		}
	})
}

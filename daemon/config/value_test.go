package config

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "250ms": 250 * time.Millisecond, "5s": 5 * time.Second, "1m30s": 90 * time.Second,
		"4h": 4 * time.Hour, "5d": 120 * time.Hour, "1.5d": 36 * time.Hour, "1d12h": 36 * time.Hour,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "s", "-5s", "+5s", "5 s", "5s ", "5S", "1s1m", "1s1s", "1.2.3s", "5us", "200000d", "1e3s", "infs", "0x5s"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q passed as %v", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0B": 0, "1B": 1, "25MB": 25e6, "1.5KB": 1500, "512KiB": 512 << 10, "1MiB": 1 << 20, "2GB": 2e9, "1GiB": 1 << 30,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "25", "MB", "-1MB", "1mb", "1 MB", "1MB1KB", "9300000000GB", "1TB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q passed as %v", text, got)
		}
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"": {}, "1/s": {1, time.Second}, "100/min": {100, time.Minute}, "5000/hour": {5000, time.Hour},
	} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"100", "0/s", "-1/s", "+1/s", "1/d", "1 /s", "1.5/s", "/s", "99999999999/s", "1/s/s"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("%q passed as %v", text, got)
		}
	}
}

func TestSuggestion(t *testing.T) {
	fields := map[string]int{"connect": 0, "command": 0, "tls": 0}
	for name, want := range map[string]string{
		"conect": `; did you mean "connect"?`, "comand": `; did you mean "command"?`,
		"x": "", "completely": "", "": "",
	} {
		if got := suggestion(name, fields); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckMessage holds a message against the rules with a stream that
// enforces one of them.
func TestCheckMessage(t *testing.T) {
	dir := t.TempDir()
	config, key := filepath.Join(dir, "postrider.toml"), filepath.Join(dir, "key.pem")
	if got := typed(t, "", "dkim", "keygen", "shop.example", "s1", "--algorithm", "ed25519", "--out", key); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	write(t, config, `hostname = "mail.shop.example"
[[tenant]]
name = "default"
[[tenant.stream]]
name = "marketing"
[tenant.stream.check]
dkim_alignment = "enforce"
[[dkim]]
domain = "shop.example"
selector = "s1"
key = "key.pem"
`)
	const fields = "List-Unsubscribe: <https://shop.example/u>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\nSubject: x\n\nunsubscribe\n"
	check := func(message string, flags ...string) result {
		return typed(t, message, append(flags, "check-message", "--config", config, "--stream", "marketing")...)
	}
	if got := check("From: a@news.shop.example\n" + fields); got != (result{0, "nothing found; stream marketing\n", ""}) {
		t.Errorf("%+v", got)
	}
	got := check("From: a@other.example\n" + fields)
	if got.status != exitFailure || !strings.Contains(got.out, "dkim_alignment  enforce") || !strings.Contains(got.errors, "refuses") {
		t.Errorf("%+v", got)
	}
	if got := check("From: a@shop.example\nFeedback-ID: x\n"+fields, "--json"); got.status != 0 || !strings.Contains(got.out, `"level": "warn"`) || !strings.Contains(got.out, `"rule": "feedback_id"`) {
		t.Errorf("%+v", got)
	}
	if got := check("From: a@shop.example\nX-Postrider-Track: what\n" + fields); got.status != exitFailure || !strings.Contains(got.errors, "X-Postrider-Track") {
		t.Errorf("%+v", got)
	}
	if got := check(""); got.status != exitFailure || !strings.Contains(got.errors, "empty") {
		t.Errorf("%+v", got)
	}
}

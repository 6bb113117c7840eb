package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/testmx"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConfigCheck proves that every mistake is told, for people and as JSON.
func TestConfigCheck(t *testing.T) {
	dir := t.TempDir()
	good := write(t, filepath.Join(dir, "good.toml"), "hostname = \"mail.example.com\"\n")
	bad := write(t, filepath.Join(dir, "bad.toml"), "hostname = 1\nfoo = 2\n")
	if got := typed(t, "", "config", "check", good); got != (result{0, good + ": ok\n", ""}) {
		t.Errorf("%+v", got)
	}
	got := typed(t, "", "config", "check", bad)
	if lines := strings.Split(got.out, "\n"); got.status != 1 || len(lines) != 3 || !strings.HasPrefix(lines[1], bad+":2:1: foo: unknown key") {
		t.Errorf("%+v", got)
	}
	if got.errors != "postrider: "+bad+": 2 mistakes\n" {
		t.Errorf("%q", got.errors)
	}
	got = typed(t, "", "--json", "config", "check", good)
	if want := "{\n  \"file\": \"" + good + "\",\n  \"ok\": true,\n  \"problems\": []\n}\n"; got.out != want {
		t.Errorf("%s", got.out)
	}
	var report map[string]any
	got = typed(t, "", "--json", "config", "check", bad)
	if err := json.Unmarshal([]byte(got.out), &report); err != nil || got.status != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	second := report["problems"].([]any)[1].(map[string]any)
	if second["file"] != bad || second["line"] != 2.0 || second["column"] != 1.0 || second["key"] != "foo" || !strings.HasPrefix(second["message"].(string), "unknown key") {
		t.Errorf("%v", second)
	}
}

func TestPassword(t *testing.T) {
	for _, input := range []string{"secret\n", "secret\r\n", "secret"} {
		if got := typed(t, input, "password"); got.status != 0 || !strings.HasPrefix(got.out, "$argon2id$") || strings.Contains(got.errors, "Password") {
			t.Errorf("%q: %+v", input, got)
		}
	}
	var answer map[string]string
	got := typed(t, "secret\n", "--json", "password")
	if err := json.Unmarshal([]byte(got.out), &answer); err != nil || !strings.HasPrefix(answer["password_hash"], "$argon2id$") {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestDKIM takes a key from its making to its check, as an operator would.
func TestDKIM(t *testing.T) {
	dns, err := testmx.StartDNS()
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	dir := t.TempDir()
	t.Chdir(dir)
	got := typed(t, "", "dkim", "keygen", "example.com", "s1", "--algorithm", "ed25519")
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if got.status != 0 || lines[0] != "private key: s1.example.com.pem" || lines[1] != "publish this TXT record, then run postrider dkim check example.com:" {
		t.Fatalf("%+v", got)
	}
	zone := lines[len(lines)-1]
	if again := typed(t, "", "dkim", "keygen", "example.com", "s1"); again.status != 1 || !strings.Contains(again.errors, "s1.example.com.pem exists") {
		t.Errorf("%+v", again)
	}
	file := write(t, "p.toml", "hostname = \"mail.example.com\"\n[delivery]\nresolvers = [\""+dns.Addr()+"\"]\n"+
		"[[dkim]]\ndomain = \"example.com\"\nselector = \"s1\"\nkey = \"s1.example.com.pem\"\n")
	check := func(flags ...string) result {
		return typed(t, "", append(flags, "dkim", "check", "example.com", "--config", file)...)
	}
	got = check()
	if got.status != 1 || !strings.HasPrefix(got.out, "s1._domainkey.example.com: signatures will not verify\n    publish a TXT record at ") ||
		!strings.Contains(got.out, "\n    publish: v=DKIM1; ") || got.errors != "postrider: 1 key of 1 not usable as published\n" {
		t.Errorf("%+v", got)
	}
	if err := dns.Replace(zone); err != nil {
		t.Fatal(err)
	}
	if got = check(); got != (result{0, "s1._domainkey.example.com: ok\n", ""}) {
		t.Errorf("%+v", got)
	}
	var reports []map[string]any
	got = check("--json")
	if err := json.Unmarshal([]byte(got.out), &reports); err != nil || len(reports) != 1 || reports[0]["name"] != "s1._domainkey.example.com" {
		t.Errorf("%+v, %v", got, err)
	}
	got = typed(t, "", "--json", "dkim", "keygen", "example.com", "s2", "--algorithm", "ed25519", "--out", "k.pem")
	var made map[string]string
	if err := json.Unmarshal([]byte(got.out), &made); err != nil || made["file"] != "k.pem" || made["name"] != "s2._domainkey.example.com" || made["zone"] == "" || made["text"] == "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestSendMessage proves what is handed in: a message of the program's own
// making, or the user's with the stream before it.
func TestSendMessage(t *testing.T) {
	own := func(c sendCommand, input string) string {
		message, err := c.message(&environment{in: strings.NewReader(input)})
		if err != nil {
			t.Fatal(err)
		}
		return string(message)
	}
	got := own(sendCommand{From: "a@example.com", To: []string{"b@example.net", "c@example.net"}, Subject: "Grüße\r\nX: y", Text: "hello", Stream: "digest"}, "")
	want := "X-Postrider-Stream: digest\r\nFrom: a@example.com\r\nTo: b@example.net, c@example.net\r\n" +
		"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe=0D=0AX:_y?=\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nhello\r\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := own(sendCommand{File: "-", Stream: "digest"}, "Subject: x\n\ny\n"); got != "X-Postrider-Stream: digest\r\nSubject: x\n\ny\n" {
		t.Errorf("%q", got)
	}
	file := write(t, filepath.Join(t.TempDir(), "m"), "Subject: x\n\ny\n")
	if got := own(sendCommand{File: file}, ""); got != "Subject: x\n\ny\n" {
		t.Errorf("%q", got)
	}
}

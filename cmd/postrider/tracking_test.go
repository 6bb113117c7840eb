package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// trackingKey is the key of the golden files.
const trackingKey = "3 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"

// trackingSite is a folder with a configuration, a key and a message.
func trackingSite(t *testing.T) (config, message string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"postrider.toml", "news.eml"} {
		content, err := os.ReadFile(filepath.Join("testdata", "tracking", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(content))
	}
	write(t, filepath.Join(dir, "tracking.keys"), trackingKey)
	return filepath.Join(dir, "postrider.toml"), filepath.Join(dir, "news.eml")
}

// withoutTrace takes the field out that tells of time and message.
func withoutTrace(message string) string {
	return regexp.MustCompile(`(?s)^Received: .*?\r\n(\S)`).ReplaceAllString(message, "$1")
}

// TestTrackingRewrite proves what is shown of a message: by itself, beside it,
// and as JSON. The tokens are always the same: a dry run belongs to no message.
func TestTrackingRewrite(t *testing.T) {
	config, message := trackingSite(t)
	got := typed(t, "", "tracking", "rewrite", "--config", config, "--stream", "marketing", "--credential", "app", message)
	if got.status != 0 {
		t.Fatalf("%+v", got)
	}
	golden(t, "tracking/news.sent", withoutTrace(got.out))
	golden(t, "tracking/news.summary", got.errors)
	content, err := os.ReadFile(message)
	if err != nil {
		t.Fatal(err)
	}
	got = typed(t, string(content), "--json", "tracking", "rewrite", "--config", config, "--stream", "marketing")
	if got.status != 0 || got.errors != "" {
		t.Fatalf("%+v", got)
	}
	golden(t, "tracking/news.json", regexp.MustCompile(`_octets": \d+`).ReplaceAllString(got.out, `_octets": 0`))
}

// TestTrackingRewriteShowsWhatComesBack: the return path and the header fields
// that bounces, complaints and those who leave come back by, with a tracker and
// without.
func TestTrackingRewriteShowsWhatComesBack(t *testing.T) {
	config, message := trackingSite(t)
	content, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	untracked := regexp.MustCompile(`(?m)^(listen|url|utm).*\n`).ReplaceAllString(string(content), "")
	const bounces = "\n[bounces]\nlisten = \"127.0.0.1:0\"\ndomain = \"b.example.com\"\nfeedback_sender = \"acmecorp\"\n"
	for name, text := range map[string]string{"heard": string(content), "heard-untracked": untracked} {
		write(t, config, text+bounces)
		got := typed(t, "", "tracking", "rewrite", "--config", config, "--stream", "marketing", message)
		if got.status != 0 {
			t.Fatalf("%s: %+v", name, got)
		}
		header, _, _ := strings.Cut(withoutTrace(got.out), "\r\n\r\n")
		golden(t, "tracking/"+name, header+"\r\n\r\n"+got.errors)
	}
}

func TestTrackingRewriteSaysWhyNot(t *testing.T) {
	config, message := trackingSite(t)
	for input, want := range map[string]string{
		"From: a@shop.example\nContent-Type: multipart/mixed; boundary=b\n\nx": "left as it is: ",
		"From: a@shop.example\nX-Postrider-Track: none\n\nx":                   "nothing is measured in this stream, and the message does not ask for it",
	} {
		stream := "transactional"
		if strings.Contains(want, "left") {
			stream = "marketing"
		}
		got := typed(t, input, "tracking", "rewrite", "--config", config, "--stream", stream)
		if got.status != 0 || !strings.Contains(got.errors, want) {
			t.Errorf("%q: %+v", input, got)
		}
	}
	for name, c := range map[string]struct {
		input     string
		arguments []string
		want      string
	}{
		"no message":    {"", nil, "the message is empty"},
		"no From":       {"Subject: x\n\nx", nil, "From"},
		"no such file":  {"", []string{message + ".none"}, "no such file"},
		"no stream":     {"", []string{message, "--stream", "none"}, "names no stream of yours; there are marketing, transactional"},
		"no tenant":     {"", []string{message, "--tenant", "none"}, `no tenant "none"`},
		"no credential": {"", []string{message, "--credential", "none"}, `no credential "none"`},
		"not theirs":    {"", []string{message, "--credential", "app", "--tenant", "none"}, "belongs to tenant shop, not to none"},
		"bad recipient": {"", []string{message, "--recipient", "a b"}, "recipient: "},
		"no config":     {"", []string{message, "--config", "/none"}, "/none"},
	} {
		got := typed(t, c.input, append([]string{"tracking", "rewrite", "--config", config}, c.arguments...)...)
		if got.status != 1 || !strings.Contains(got.errors, c.want) || got.out != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if err := os.Remove(filepath.Join(filepath.Dir(config), "tracking.keys")); err != nil {
		t.Fatal(err)
	}
	if got := typed(t, "", "tracking", "rewrite", "--config", config, "--stream", "marketing", message); got.status != 1 || !strings.Contains(got.errors, "no keys yet: the daemon makes ") {
		t.Errorf("%+v", got)
	}
}

func TestTrackingDecode(t *testing.T) {
	config, _ := trackingSite(t)
	var report strings.Builder
	for _, kind := range []string{"c", "o", "u"} {
		link := sentLink(t, kind)
		for _, flags := range [][]string{nil, {"--json"}} {
			got := typed(t, "", append(flags, "tracking", "decode", "--config", config, " <"+link+"> ")...)
			if got.status != 0 || got.errors != "" {
				t.Fatalf("%s: %+v", link, got)
			}
			report.WriteString(got.out)
		}
	}
	golden(t, "tracking/decoded", report.String())
	link := sentLink(t, "c")
	for bad, want := range map[string]string{
		"":                                       "want the whole URL",
		"t.example.com/c/x":                      "want the whole URL",
		"https://t.example.com/":                 "its path has none of /c/, /o/, /u/ and /p/",
		"https://t.example.com/c/abc":            "is no token, or not a whole one",
		link[:len(link)-1]:                       "is the URL whole?",
		strings.Replace(link, "/c/", "/o/", 1):   "is the URL whole?",
		strings.Replace(link, "/c/Q", "/c/R", 1): "has no key 7",
	} {
		got := typed(t, "", "tracking", "decode", "--config", config, bad)
		if got.status != 1 || !strings.Contains(got.errors, want) || got.out != "" {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

// sentLink finds a link in the golden file.
func sentLink(t *testing.T, kind string) string {
	t.Helper()
	sent, err := os.ReadFile(filepath.Join("testdata", "tracking", "news.sent"))
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`https://t\.example\.com/` + kind + `/[A-Za-z0-9_-]{40,}(\.gif)?`).FindString(string(sent))
}

// TestTrackingRotate takes a link over a change of the key.
func TestTrackingRotate(t *testing.T) {
	config, _ := trackingSite(t)
	file := filepath.Join(filepath.Dir(config), "tracking.keys")
	got := typed(t, "", "tracking", "rotate", "--config", config)
	want := file + ": key 4 is the active one now, 2 keys in all\nrun postrider reload to make the running daemon use it; links made with the others work on\n"
	if got != (result{0, want, ""}) {
		t.Errorf("%+v", got)
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(text), "4 ") || !strings.HasSuffix(string(text), "\n"+trackingKey) {
		t.Errorf("%v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	got = typed(t, "", "tracking", "decode", "--config", config, sentLink(t, "c"))
	if got.status != 0 || !strings.Contains(got.out, "key       3; the active one is 4\n") {
		t.Errorf("%+v", got)
	}
	got = typed(t, "", "--json", "tracking", "rotate", "--config", config)
	if got.status != 0 || got.out != "{\n  \"file\": \""+file+"\",\n  \"active\": 5,\n  \"keys\": 3,\n  \"left\": 61\n}\n" {
		t.Errorf("%+v", got)
	}
	for range 53 {
		got = typed(t, "", "tracking", "rotate", "--config", config)
	}
	if !strings.Contains(got.out, "56 keys in all") || strings.Contains(got.out, "there is room") {
		t.Errorf("%+v", got)
	}
	if got = typed(t, "", "tracking", "rotate", "--config", config); !strings.Contains(got.out, "there is room for 7 more") {
		t.Errorf("%+v", got)
	}
	for range 7 {
		got = typed(t, "", "tracking", "rotate", "--config", config)
	}
	before, _ := os.ReadFile(file)
	got = typed(t, "", "tracking", "rotate", "--config", config)
	if after, _ := os.ReadFile(file); got.status != 1 || !strings.Contains(got.errors, "holds 64 keys") || !strings.Contains(got.errors, "remove the last line") || string(after) != string(before) {
		t.Errorf("%+v", got)
	}
	entries, err := os.ReadDir(filepath.Dir(config))
	if err != nil || len(entries) != 3 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

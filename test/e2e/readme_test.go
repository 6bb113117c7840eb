package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/test/harness"
)

// pages are the README and the documentation.
func pages(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, file := range append(files, "../../README.md", "../../packaging/README.md") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file)] = string(content)
	}
	return all
}

var block = regexp.MustCompile("(?ms)^```([a-z-]+)\n(.*?)^```$")

// blocks are the examples of a page in one language.
func blocks(page, language string) []string {
	var all []string
	for _, found := range block.FindAllStringSubmatch(page, -1) {
		if found[1] == language {
			all = append(all, found[2])
		}
	}
	return all
}

func TestDocumentedCommandsExist(t *testing.T) {
	t.Parallel()
	commands, flags := 0, 0
	help := map[string]string{}
	for name, page := range pages(t) {
		for _, example := range blocks(page, "sh") {
			for line := range strings.Lines(strings.ReplaceAll(example, "\\\n", " ")) {
				for _, words := range invocations(line) {
					text := helpOf(t, name, words, help)
					commands++
					for _, flag := range regexp.MustCompile(`--[a-z][a-z-]*`).FindAllString(strings.Join(words, " "), -1) {
						flags++
						if !regexp.MustCompile(flag + `\b`).MatchString(text) {
							t.Errorf("%s: %s: no flag %s", name, strings.TrimSpace(line), flag)
						}
					}
				}
			}
		}
	}
	if commands < 10 {
		t.Errorf("only %d commands found in the examples", commands)
	}
	t.Logf("%d commands and %d flags in the examples exist", commands, flags)
}

// invocations are the words behind each "postrider" of a line of shell,
// without its comment.
func invocations(line string) [][]string {
	line, _, _ = strings.Cut(line, " #")
	var all [][]string
	for _, command := range regexp.MustCompile(`&&|\|\|?|;|>`).Split(line, -1) {
		words := strings.Fields(command)
		for len(words) > 0 && words[0] == "sudo" {
			words = words[1:]
		}
		if len(words) > 1 && filepath.Base(words[0]) == "postrider" {
			all = append(all, words[1:])
		}
	}
	return all
}

// helpOf asks for the help of the command that words begin with.
func helpOf(t testing.TB, page string, words []string, known map[string]string) string {
	t.Helper()
	var command []string
	for _, word := range words {
		if !regexp.MustCompile(`^[a-z]+$`).MatchString(word) || len(command) == 2 {
			break
		}
		command = append(command, word)
	}
	key := strings.Join(command, " ")
	if text, ok := known[key]; ok {
		return text
	}
	text, err := harness.Run(t.Context(), suite.binary, append(command, "--help")...)
	if err != nil {
		t.Errorf("%s: %s: %v", page, key, err)
	}
	known[key] = text
	return text
}

// namedFile is a key whose value is a file that must be there.
var namedFile = regexp.MustCompile(`(?m)^((?:key|certificate|password_hash_file|password_file|proxy_password_file) = )"([^"]*)"`)

func TestDocumentedConfigurationsAreRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := filepath.Join(w.dir, "dkim.pem")
	if _, err := harness.Run(w.ctx, suite.binary, "dkim", "keygen", "example.com", "s", "--out", key); err != nil {
		t.Fatal(err)
	}
	hash, err := harness.RunInput(w.ctx, "password\n", suite.binary, "password")
	if err != nil {
		t.Fatal(err)
	}
	hashFile := w.write("password.hash", hash)
	count := 0
	for name, page := range pages(t) {
		if strings.HasSuffix(name, "providers.md") {
			continue // its files are of another form, which the tests of mta/shape read
		}
		for _, example := range blocks(page, "toml") {
			count++
			example = namedFile.ReplaceAllStringFunc(example, func(line string) string {
				parts := namedFile.FindStringSubmatch(line)
				return parts[1] + `"` + standIn(parts[1], parts[2], key, hashFile) + `"`
			})
			if !strings.Contains(example, "hostname = ") {
				example = "hostname = \"mail.example.com\"\n" + example
			}
			file := w.write("example.toml", example)
			if out, err := harness.Run(w.ctx, suite.binary, "config", "check", file); err != nil {
				t.Errorf("%s: %v\n%s\n%s", name, err, out, example)
			}
		}
	}
	if count < 3 {
		t.Errorf("only %d configurations found in the documentation", count)
	}
}

// standIn is a file of the right kind for one that an example names.
func standIn(key, value, dkimKey, hash string) string {
	switch {
	case strings.HasPrefix(key, "certificate"):
		return suite.certificateFile
	case strings.HasPrefix(key, "password"):
		return hash
	case strings.Contains(value, "tls"):
		return suite.keyFile
	default:
		return dkimKey
	}
}

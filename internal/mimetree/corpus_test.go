package mimetree_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mimetree"
)

// corpus returns the folder of MIME samples or skips the test.
func corpus(t *testing.T) string {
	t.Helper()
	root := os.Getenv("POSTRIDER_CORPUS")
	if root == "" {
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				root = filepath.Join(filepath.Dir(dir), "shared", "corpus")
				break
			}
		}
	}
	folder := filepath.Join(root, "mime")
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("no corpus at %s: set POSTRIDER_CORPUS", folder)
	}
	return folder
}

type sample struct {
	File    string
	Defects []string
	Parts   []samplePart
}

type samplePart struct {
	Path, Type, CTE string
	SHA256          string `json:"decoded_sha256"`
}

func samples(t *testing.T, folder string) []sample {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, "eml-inventory.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var all []sample
	for d := json.NewDecoder(bytes.NewReader(data)); d.More(); {
		var s sample
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// TestCorpusTree compares our reading of well-formed samples with that of
// another parser.
func TestCorpusTree(t *testing.T) {
	folder := corpus(t)
	compared := 0
	for _, s := range samples(t, folder) {
		message, err := os.ReadFile(filepath.Join(folder, "eml", s.File))
		if err != nil {
			t.Fatal(err)
		}
		root, err := mimetree.Parse(message, mimetree.Options{Messages: true})
		if err != nil || len(s.Defects) > 0 {
			continue
		}
		found := make(map[string]*mimetree.Part)
		number(root, "", found)
		for _, want := range s.Parts {
			p := found[want.Path]
			if p == nil && insideMessage(s.Parts, want.Path) {
				continue
			}
			if p == nil {
				t.Errorf("%s: no part %q (%s)", s.File, want.Path, want.Type)
				continue
			}
			if p.Type != want.Type {
				t.Errorf("%s: part %q is %s, want %s", s.File, want.Path, p.Type, want.Type)
			}
			c, err := p.Content(message)
			// The other parser does not know an encoding with white space behind it.
			if err != nil || want.SHA256 == "" || len(p.Children) > 0 || strings.TrimSpace(want.CTE) != want.CTE {
				continue
			}
			sum := sha256.Sum256(c.Bytes)
			if got := hex.EncodeToString(sum[:]); got != want.SHA256 {
				t.Errorf("%s: part %q (%s) decodes to other octets: %.60q", s.File, want.Path, p.Type, c.Bytes)
			}
			compared++
		}
	}
	if compared < 100 {
		t.Errorf("only %d parts compared", compared)
	}
}

// insideMessage reports a part of a message/ type: the other parser takes apart
// delivery reports and encoded messages too.
func insideMessage(parts []samplePart, path string) bool {
	for _, p := range parts {
		if strings.HasPrefix(p.Type, "message/") && (p.Path == "" || strings.HasPrefix(path, p.Path+".")) {
			return true
		}
	}
	return false
}

func number(p *mimetree.Part, path string, found map[string]*mimetree.Part) {
	found[path] = p
	for i, child := range p.Children {
		number(child, strings.TrimPrefix(path+"."+strconv.Itoa(i+1), "."), found)
	}
}

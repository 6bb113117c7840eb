package mail_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
)

// corpus finds the collected material: POSTRIDER_CORPUS, or the folder
// shared/corpus beside the module.
func corpus(t *testing.T, name string) []byte {
	t.Helper()
	dir := os.Getenv("POSTRIDER_CORPUS")
	if dir == "" {
		dir = besideModule(t)
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Skipf("no corpus here (set POSTRIDER_CORPUS): %v", err)
	}
	return data
}

func besideModule(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(filepath.Dir(dir), "shared", "corpus")
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("not in a module")
	return ""
}

// TestCorpusAddresses holds the syntax cases of isemail against ParseAddress.
// What is valid in SMTP passes; what is an error, or is written in a way that
// only RFC 5322 headers know (comments, folding, obsolete forms), does not. An
// IP address without brackets, which isemail takes for a name below a numeric
// top-level domain, is refused.
func TestCorpusAddresses(t *testing.T) {
	var cases []struct{ ID, Address, Category, Diagnosis string }
	if err := json.Unmarshal(corpus(t, "smtp/addresses.json"), &cases); err != nil {
		t.Fatal(err)
	}
	valid := map[string]bool{"ISEMAIL_VALID_CATEGORY": true, "ISEMAIL_DNSWARN": true, "ISEMAIL_RFC5321": true}
	for _, tc := range cases {
		if tc.Diagnosis == "ISEMAIL_RFC5321_IPV6DEPRECATED" {
			continue // valid by one RFC and not by another
		}
		_, bare := netip.ParseAddr(tc.Address[strings.LastIndexByte(tc.Address, '@')+1:])
		address, err := mail.ParseAddress(tc.Address)
		if want := valid[tc.Category] && bare != nil; want != (err == nil) {
			t.Errorf("%s %s %q: %q, %v", tc.ID, tc.Diagnosis, tc.Address, address, err)
		}
	}
}

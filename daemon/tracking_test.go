package daemon

import (
	"os"
	"testing"

	"github.com/postrider-mta/postrider/internal/datafolder"
)

// TestTokenKeysAreMade proves that the first key is made once, for the
// daemon's user alone, and is then the one.
func TestTokenKeysAreMade(t *testing.T) {
	s := newSite(t, basic)
	c := s.config()
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := partsDaemon()
	if err := d.loadTokenKeys(c); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(c.Tracking.Keys)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(c.Tracking.Keys); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := d.loadTokenKeys(c); err != nil {
		t.Fatal(err)
	}
	if second, _ := os.ReadFile(c.Tracking.Keys); string(second) != string(first) {
		t.Error("the keys were made anew")
	}
	entries, _ := os.ReadDir(c.DataDir)
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestTokenKeyErrors proves that nothing wrong is written over.
func TestTokenKeyErrors(t *testing.T) {
	s := newSite(t, basic)
	c := s.config()
	d := partsDaemon()
	c.Tracking.Keys = s.path("missing/keys")
	contains(t, d.loadTokenKeys(c), "no such file or directory")
	c.Tracking.Keys = s.path("keys")
	s.write("keys", "not a key\n")
	contains(t, d.loadTokenKeys(c), s.path("keys"))
	if err := os.Chmod(c.Tracking.Keys, 0o604); err != nil {
		t.Fatal(err)
	}
	contains(t, d.loadTokenKeys(c), "readable by everybody")
	if text, _ := os.ReadFile(c.Tracking.Keys); string(text) != "not a key\n" {
		t.Errorf("changed to %q", text)
	}
}

// TestWriteDurably proves that a file in the way is replaced whole or not at
// all, and that nothing is left behind.
func TestWriteDurably(t *testing.T) {
	s := newSite(t, "")
	if err := os.MkdirAll(s.path("folder/full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := datafolder.Replace(s.path("folder/full"), []byte("x")); err == nil {
		t.Error("wrote over a folder")
	}
	entries, _ := os.ReadDir(s.path("folder"))
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

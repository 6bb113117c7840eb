package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStoreCommands proves what an operator reads of a store, and the exit
// status.
func TestStoreCommands(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "p.toml"), "hostname = \"mail.example.com\"\ndata_dir = \"data\"\n")
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	got := typed(t, "", "store", "check", "--config", file)
	if got.status != 1 || !strings.Contains(got.out, "queue.db") || got.errors != "postrider: the store is damaged\n" {
		t.Errorf("%+v", got)
	}
	got = typed(t, "", "store", "rebuild", "--config", file)
	if got.status != 0 || !strings.HasPrefix(got.out, data+": queue.db made anew from 0 records in 0 segments: 0 recipients of 0 messages owed, 0 holds\n") ||
		!strings.Contains(got.out, "postrider queue holds") {
		t.Errorf("%+v", got)
	}
	if got = typed(t, "", "store", "check", "--config", file); got != (result{0, data + ": ok: 0 recipients of 0 messages in 0 queues\n", ""}) {
		t.Errorf("%+v", got)
	}
	if got = typed(t, "", "--json", "store", "check", "--config", file); got.status != 0 || !strings.Contains(got.out, "\"problems\": []") {
		t.Errorf("%+v", got)
	}
	if got = typed(t, "", "store", "rebuild", "--config", file); got.status != 1 || !strings.Contains(got.errors, "nothing to rebuild") {
		t.Errorf("%+v", got)
	}
	if got = typed(t, "", "--json", "store", "rebuild", "--force", "--config", file); got.status != 0 || !strings.Contains(got.out, "\"rules_known\": true") {
		t.Errorf("%+v", got)
	}
}

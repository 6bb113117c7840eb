package offline_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/offline"
	"github.com/postrider-mta/postrider/tracking/token"
)

// trackingFile writes a configuration and returns it with its key file, which
// does not exist yet.
func trackingFile(t *testing.T) (config, keys string) {
	t.Helper()
	dir := t.TempDir()
	config, keys = filepath.Join(dir, "postrider.toml"), filepath.Join(dir, "tracking.keys")
	text := "hostname = \"mail.example.com\"\n[tracking]\nkeys = \"tracking.keys\"\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, keys
}

// TestRotateTracking proves that the first key is made, that a file keeps its
// permissions, and that a link to it stays one.
func TestRotateTracking(t *testing.T) {
	config, keys := trackingFile(t)
	if r, err := offline.RotateTracking(config); err != nil || r != (offline.Rotation{File: keys, Active: 0, Keys: 1, Left: 63}) {
		t.Fatalf("%+v, %v", r, err)
	}
	if info, err := os.Stat(keys); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	elsewhere := filepath.Join(t.TempDir(), "keys")
	if err := os.Rename(keys, elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, keys); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(elsewhere, 0o640); err != nil {
		t.Fatal(err)
	}
	if r, err := offline.RotateTracking(config); err != nil || r.Active != 1 || r.Keys != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if info, err := os.Lstat(elsewhere); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if info, err := os.Lstat(keys); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestRotateTrackingTogether proves that of rotations at the same time each
// either adds a key or fails.
func TestRotateTrackingTogether(t *testing.T) {
	config, keys := trackingFile(t)
	if _, err := offline.RotateTracking(config); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		group.Go(func() { _, errs[i] = offline.RotateTracking(config) })
	}
	group.Wait()
	want := 1
	for _, err := range errs {
		if err == nil {
			want++
		} else if !strings.Contains(err.Error(), "is being rotated by somebody else") {
			t.Error(err)
		}
	}
	text, err := os.ReadFile(keys)
	if err != nil {
		t.Fatal(err)
	}
	if ring, err := token.ParseKeyFile(text); err != nil || len(ring.IDs()) != want {
		t.Errorf("%v, %v, want %d keys", ring.IDs(), err, want)
	}
}

func TestRotateTrackingErrors(t *testing.T) {
	config, keys := trackingFile(t)
	for text, want := range map[string]string{"": "no key in the file", "0 x\n": "line 1: ", "# only words\n": "no key in the file"} {
		if err := os.WriteFile(keys, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := offline.RotateTracking(config)
		if left, _ := os.ReadFile(keys); err == nil || !strings.Contains(err.Error(), want) || string(left) != text {
			t.Errorf("%q: %v, left %q", text, err, left)
		}
	}
	if err := os.Chmod(keys, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := offline.RotateTracking(config); err == nil || !strings.Contains(err.Error(), "readable by everybody") {
		t.Error(err)
	}
	if _, err := offline.DecodeLink(config, "https://t.example.com/c/x", time.Now()); err == nil || !strings.Contains(err.Error(), "readable by everybody") {
		t.Error(err)
	}
}

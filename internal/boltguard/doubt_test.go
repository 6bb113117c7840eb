package boltguard_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
)

// childVariable names the file for the process that works under strace.
const childVariable = "POSTRIDER_BOLTGUARD_FILE"

// After a sync of the meta page that failed, readers see a transaction that no
// disk may have. What is written next must not build on it before it is there:
// the pages that it freed are those that the disk still refers to.
func TestFailedSyncIsMadeUpForFirst(t *testing.T) {
	if path := os.Getenv(childVariable); path != "" {
		failOnce(t, path)
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skipf("system calls cannot be made to fail here: %v", err)
	}
	path := filepath.Join(folder(t), "test.db")
	fill(t, path, true)
	log := filepath.Join(t.TempDir(), "trace")
	// The first update syncs twice: its pages, and what refers to them.
	cmd := exec.Command(strace, "-f", "-qq", "-y", "-o", log, "-e", "trace=pwrite64,fsync,fdatasync", "-e", "signal=none",
		"-e", "inject=fdatasync:error=EIO:when=2", os.Args[0], "-test.run=^TestFailedSyncIsMadeUpForFirst$")
	cmd.Env = append(os.Environ(), childVariable+"="+path)
	out, err := cmd.CombinedOutput()
	if _, traced := os.Stat(log); traced != nil || strings.Contains(string(out), "ptrace") {
		t.Skipf("system calls cannot be made to fail here: %s", out)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	calls := callsAfterTheFault(t, log, path)
	if len(calls) < 4 || !strings.Contains(calls[0], fmt.Sprintf("%d, 0) = %d", 2*testPage, 2*testPage)) ||
		!strings.Contains(calls[1], "fsync(") || !strings.HasSuffix(calls[1], "= 0") {
		t.Errorf("after the fault:\n%s", strings.Join(calls[:min(len(calls), 4)], "\n"))
	}
}

// failOnce is the work under strace.
func failOnce(t *testing.T, path string) {
	runtime.LockOSThread() // strace counts the calls of each thread
	defer runtime.UnlockOSThread()
	db, err := boltguard.Open(path, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	put := func(round int) error {
		return db.Update(func(tx *bolt.Tx) error { return putRows(tx, round) })
	}
	if err := put(1); !errors.Is(err, syscall.EIO) {
		t.Errorf("the update with the fault gave %v", err)
	}
	for round := range 3 {
		if err := put(round); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(db.View(readAll), db.Close()); err != nil {
		t.Error(err)
	}
}

// callsAfterTheFault lists the calls on a file behind the one that failed.
func callsAfterTheFault(t *testing.T, log, path string) (calls []string) {
	t.Helper()
	file, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	failed := false
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		switch {
		case strings.Contains(line, "INJECTED"):
			failed = true
		case failed && strings.Contains(line, path):
			calls = append(calls, line)
		}
	}
	if !failed {
		t.Fatal("nothing failed")
	}
	return calls
}

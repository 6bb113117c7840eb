// Package testdisk lets tests meet disks that fail, in the process itself.
package testdisk

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// openFiles lists those of the process by their descriptors.
const openFiles = "/proc/self/fd"

// Unwritable lets writes to a file that the process has open fail until back is
// called. It can be read all the same, and what is mapped of it too. The test is
// skipped where open files cannot be found.
func Unwritable(t testing.TB, path string) (back func()) {
	t.Helper()
	entries, err := os.ReadDir(openFiles)
	if err != nil {
		t.Skipf("open files cannot be listed here: %v", err)
	}
	for _, entry := range entries {
		if target, err := os.Readlink(filepath.Join(openFiles, entry.Name())); err != nil || target != path {
			continue
		}
		descriptor, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		return replaceDescriptor(t, descriptor, path)
	}
	t.Fatalf("%s is not open", path)
	return nil
}

// replaceDescriptor has it lead to the same file, opened for reading alone.
func replaceDescriptor(t testing.TB, descriptor int, path string) (back func()) {
	t.Helper()
	kept, err := unix.Dup(descriptor)
	if err != nil {
		t.Fatal(err)
	}
	readOnly, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err := errors.Join(err, unix.Dup3(readOnly, descriptor, unix.O_CLOEXEC), unix.Close(readOnly)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(unix.Dup3(kept, descriptor, unix.O_CLOEXEC), unix.Close(kept)); err != nil {
			t.Error(err)
		}
	}
}

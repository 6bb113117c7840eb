package daemon

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestSocketIsNeverOpen proves that the socket has its permissions from the
// moment that it has its name, whatever the umask.
func TestSocketIsNeverOpen(t *testing.T) {
	path := newSite(t, "").path("s.sock")
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	l, err := bindUnix(path, ownSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != ownSocket {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestSharedSocket proves that a strict umask does not lock the group out.
func TestSharedSocket(t *testing.T) {
	path := newSite(t, "").path("s.sock")
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	l, err := listen("unix:"+path, sharedSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != sharedSocket {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestStaleSocket proves that the socket of a crash is taken over, and nothing
// else is.
func TestStaleSocket(t *testing.T) {
	s := newSite(t, "")
	path := s.path("s.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(path, ownSocket); err == nil || !strings.Contains(err.Error(), "another process answers there") {
		t.Errorf("took a socket in use: %v", err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	l, err := listenUnix(path, ownSocket)
	if err != nil {
		t.Fatalf("did not take over a socket left behind: %v", err)
	}
	l.Close()

	s.write("letter", "dear")
	_, err = listenUnix(s.path("letter"), ownSocket)
	contains(t, err, "not a socket")
	if text, err := os.ReadFile(s.path("letter")); err != nil || string(text) != "dear" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestListenErrors(t *testing.T) {
	s := newSite(t, "")
	_, err := listenUnix(s.path(strings.Repeat("x", 120)), ownSocket)
	contains(t, err, "at most 107 octets")
	_, err = listenUnix(s.path("none/s.sock"), ownSocket)
	contains(t, err, "no such file or directory")
	_, err = listen("192.0.2.1:0", sharedSocket)
	contains(t, err, "192.0.2.1:0")
}

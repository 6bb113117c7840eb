package daemon

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// TestNotify proves that the service manager hears, on a socket in the file
// system and on an abstract one.
func TestNotify(t *testing.T) {
	for _, name := range []string{newSite(t, "").path("n.sock"), fmt.Sprintf("@postrider-test-%d", os.Getpid())} {
		manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("NOTIFY_SOCKET", name)
		if err := notifySystemd("READY=1"); err != nil {
			t.Errorf("%s: %v", name, err)
		} else {
			heard := make([]byte, 64)
			n, err := manager.Read(heard)
			if string(heard[:n]) != "READY=1" || err != nil {
				t.Errorf("%s: heard %q, %v", name, heard[:n], err)
			}
		}
		manager.Close()
	}
}

func TestNotifyNobody(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := notifySystemd("READY=1"); err != nil {
		t.Error(err)
	}
	t.Setenv("NOTIFY_SOCKET", newSite(t, "").path("none"))
	if err := notifySystemd("READY=1"); err == nil {
		t.Error("told nobody without an error")
	}
	log := &journal{}
	d := partsDaemon()
	d.logger, _ = newLogger(log, (&site{t: t}).logging())
	d.notify("READY=1")
	if !strings.Contains(log.String(), "service manager was not told") {
		t.Errorf("log: %s", log)
	}
}

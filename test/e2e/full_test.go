package e2e

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
)

// smallDisk mounts a file system of a few megabytes for the data, or skips.
func (w *world) smallDisk(size string) string {
	w.Helper()
	folder := filepath.Join(w.dir, "disk")
	if err := os.Mkdir(folder, 0o700); err != nil {
		w.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size="+size); err != nil {
		w.Skipf("a small file system cannot be mounted here (it takes root): %v", err)
	}
	w.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			w.Errorf("unmount: %v", err)
		}
	})
	return folder
}

// bulky is a message of about 100 KB.
func bulky() string {
	return letter() + strings.Repeat("Seventy octets of what nobody reads, again and again and again.\r\n", 1500)
}

// fill sends until the daemon says that its disk is full, and returns the ids
// of what it took.
func (w *world) fill() []string {
	w.Helper()
	c := w.connect()
	defer c.conn.Close()
	var taken []string
	for range 2000 {
		id, err := c.send(sender, []string{"reader@reader.example"}, []byte(bulky()))
		if err == nil {
			taken = append(taken, id)
			continue
		}
		mustRefuse(w, "a full disk", err, 452, "4.3.1")
		return taken
	}
	w.Fatal("the disk does not fill")
	return nil
}

func TestFullDiskRefusesMailAndLosesNone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, minFree string
		// ballast in octets is somebody else's, who takes it away at last.
		ballast int
	}{{"reserve is touched", "4MB", 0}, {"hardly anything is left", "1MB", 6 << 20}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			var closed atomic.Bool
			closed.Store(true)
			mx := w.domain("reader.example", testmx.Options{OnMessage: func(*testmx.Message) error {
				if closed.Load() {
					return errors.New("not now")
				}
				return nil
			}})
			disk := w.smallDisk("24m")
			w.start(settings{dataDir: disk, minFree: c.minFree, queue: "retry_first = \"1h\"\nsegment_size = \"1MB\"\ncheckpoint_size = \"256KB\"\ncheckpoint_interval = \"100ms\"\n"})
			open := w.domain("open.example", testmx.Options{})
			read := w.hand(page("X-Postrider-Stream: marketing"), "reader@open.example")
			w.awaitEvent(read, event.Delivered)
			ballast := w.write("disk/ballast", strings.Repeat("x", c.ballast))
			w.overflow(mx, func() {
				if response, _ := w.ask(http.MethodGet, find(w, link, open.Messages()[0].Data), "", ""); response.Header.Get("Location") != target {
					w.Errorf("with a full disk a link leads nowhere: %s", response.Status)
				}
				closed.Store(false)
				if err := os.Remove(ballast); err != nil {
					t.Error(err)
				}
			})
			w.awaitEvent(read, event.Clicked)
		})
	}
}

// overflow fills the disk, has the cause relieved, and expects the same process
// to go on as if nothing had been.
func (w *world) overflow(mx *testmx.Server, relieve func()) {
	w.Helper()
	var taken []string
	w.await("the operator is told that the disk is full", func() bool {
		// A checkpoint may have given something back since the last refusal.
		taken = append(taken, w.fill()...)
		response, _ := w.ask(http.MethodGet, "http://"+w.health+"/readyz", "", "")
		return response.StatusCode == http.StatusServiceUnavailable &&
			strings.Contains(w.run("queue", "list"), "new mail is refused")
	})
	relieve()
	w.await("what was taken has gone", func() bool {
		_, _ = w.daemon.Run(w.ctx, "queue", "retry", "--all") // a full disk may refuse this, for now
		return len(mx.Messages()) >= len(taken)
	})
	w.settled()
	w.await("mail is taken again", func() bool {
		c := w.connect()
		defer c.conn.Close()
		_, err := c.send(sender, []string{"reader@reader.example"}, []byte(letter()))
		return err == nil
	})
	w.settled()
	w.await("the daemon is ready", func() bool {
		response, _ := w.ask(http.MethodGet, "http://"+w.health+"/readyz", "", "")
		return response.StatusCode == http.StatusOK
	})
	for _, id := range taken {
		if !bytes.Contains(concatenated(mx), []byte(" id "+id)) {
			w.Errorf("message %s was acknowledged and is lost", id)
		}
	}
	w.Logf("%d messages of 100 KB fitted, and all arrived", len(taken))
}

// concatenated are the beginnings of all messages that arrived.
func concatenated(mx *testmx.Server) []byte {
	var all []byte
	for _, m := range mx.Messages() {
		all = append(all, m.Data[:min(len(m.Data), 2000)]...)
	}
	return all
}

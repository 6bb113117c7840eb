package e2e

import (
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
)

const twoSources = `
[[source]]
name = "one"
ipv4 = "127.0.0.1"
ehlo_name = "one.sender.example"
[[source]]
name = "two"
ipv4 = "127.0.0.2"
ehlo_name = "two.sender.example"
[[source]]
name = "gone"
ipv4 = "192.0.2.77"
[[pool]]
name = "usual"
source = [{ name = "one" }]
[[pool]]
name = "backup"
source = [{ name = "gone" }, { name = "two" }]
`

// TestMailLeavesFromItsPool proves that pools choose the address, that an
// operator can divert what waits and what comes, over a restart too, and that a
// source which this host does not have is left alone.
func TestMailLeavesFromItsPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.domain("there.example", testmx.Options{})
	w.start(settings{rest: twoSources})
	from := func(content string) event.Event {
		return w.awaitEvent(w.hand(content, "reader@there.example"), event.Delivered)
	}
	if e := from(letter()); e.Source != "one" || e.Host == "" {
		t.Errorf("left from %q to %q", e.Source, e.Host)
	}
	if e := from("X-Postrider-Pool: backup\r\n" + letter()); e.Source != "two" {
		t.Errorf("a message that names a pool left from %q", e.Source)
	}
	if got := w.fails("queue", "divert", "--domain", "there.example", "--pool", "bakup"); !strings.Contains(got, `there is no [[pool]] "bakup"`) {
		t.Errorf("a mistyped pool says %s", got)
	}
	if got := w.run("queue", "divert", "--domain", "there.example", "--pool", "backup"); !strings.Contains(got, "leaves by pool backup") {
		t.Errorf("divert says %s", got)
	}
	if e := from(letter()); e.Source != "two" {
		t.Errorf("diverted mail left from %q", e.Source)
	}
	w.daemon.Kill()
	w.restart()
	if e := from(letter()); e.Source != "two" {
		t.Errorf("diverted mail left from %q after a restart", e.Source)
	}
	id := strings.Fields(w.run("queue", "diversions"))[5]
	w.run("queue", "undivert", id)
	if e := from(letter()); e.Source != "one" {
		t.Errorf("mail left from %q after the diversion", e.Source)
	}
	if got := w.run("route", "reader@there.example"); !strings.Contains(got, "source    one (EHLO one.sender.example), 100 %") {
		t.Errorf("route says %s", got)
	}
}

// TestDialogueIsTraced watches a site over the socket.
func TestDialogueIsTraced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.domain("there.example", testmx.Options{})
	w.start(settings{delivery: "idle_timeout = \"10ms\"\n"})
	site := w.siteOf("reader@there.example")
	traced := make(chan string)
	go func() { traced <- w.run("trace", site, "--count", "8") }()
	for {
		w.awaitEvent(w.hand(letter(), "reader@there.example"), event.Delivered)
		select {
		case got := <-traced:
			for _, want := range []string{"< 220", "> EHLO", "> MAIL FROM:<"} {
				if !strings.Contains(got, want) {
					t.Errorf("%q is not in\n%s", want, got)
				}
			}
			return
		default:
		}
	}
}

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

// patience bounds every wait for a condition. No test depends on how long one
// takes.
const patience = 40 * time.Second

// lastWorld numbers the worlds of this process.
var lastWorld atomic.Int32

// world is everything around one daemon: a name server and mail exchangers on
// loopback addresses that no other world uses.
type world struct {
	testing.TB
	ctx context.Context
	dir string
	dns *testmx.DNS
	// network is the first three octets of the world's addresses.
	network string
	hosts   int
	port    uint16

	submission, tracker, health string
	daemon                      *harness.Daemon
	// tolerated is a violation that this test's own messages bring with them.
	tolerated string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	n := lastWorld.Add(1)
	w := &world{TB: t, ctx: ctx, dir: t.TempDir(), network: fmt.Sprintf("127.%d.%d", 32+os.Getpid()%200, n)}
	var err error
	if w.dns, err = testmx.StartDNS(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.dns.Close() })
	addresses, err := harness.FreeAddressesAt(w.host(), 3)
	if err != nil {
		t.Fatal(err)
	}
	w.submission, w.tracker, w.health = addresses[0], addresses[1], addresses[2]
	return w
}

// host returns an address of this world that was not given out before.
func (w *world) host() string {
	w.hosts++
	return fmt.Sprintf("%s.%d", w.network, w.hosts)
}

// exchanger starts a mail exchanger on an address of its own. All of a world
// listen on one port, as those of the real one do.
func (w *world) exchanger(o testmx.Options) (*testmx.Server, netip.Addr) {
	w.Helper()
	if o.Addr == "" {
		o.Addr = net.JoinHostPort(w.host(), fmt.Sprint(w.port))
	}
	server, address := testmx.Start(w, o)
	if w.port == 0 {
		w.port = address.Port()
	}
	w.Cleanup(func() {
		for _, violation := range server.Violations() {
			if violation == w.tolerated {
				continue
			}
			w.Errorf("the daemon did to a mail exchanger what a good client does not do: %s", violation)
		}
	})
	return server, address.Addr()
}

// domain starts a mail exchanger for a domain and publishes it.
func (w *world) domain(name string, o testmx.Options) *testmx.Server {
	w.Helper()
	server, address := w.exchanger(o)
	w.publish(name+". 1 MX 10 mx."+name+".", "mx."+name+". 1 A "+address.String())
	return server
}

func (w *world) publish(records ...string) {
	w.Helper()
	if err := w.dns.Add(records...); err != nil {
		w.Fatal(err)
	}
}

// settings are lines for the tables of a configuration, on top of those that
// make the daemon part of its world.
type settings struct {
	top, limits, queue, delivery, tracking, rest string
	// listener replaces the one that takes any mail from loopback.
	listener string
	dataDir  string
	minFree  string
	// strangers keeps mail from DNS away from loopback.
	strangers bool
}

const configurationTemplate = `hostname = "mail.sender.example"
data_dir = %q
%s
[log]
level = "debug"
%s
[limits]
%s
[queue]
min_free = %q
restart_delay = "100ms"
%s
[delivery]
resolvers = [%q]
port = %d
allow_loopback = %t
%s
[tracking]
listen = %q
url = "http://%s"
record_window = "20ms"
%s
[admin]
socket = "data/admin.sock"
http = %q
%s
`

// quick are retries for tests of what happens after the first.
const quick = "retry_first = \"100ms\"\nretry_max = \"400ms\"\n"

func (w *world) configuration(s settings) string {
	if s.listener == "" {
		s.listener = fmt.Sprintf("\n[[listener]]\nname = \"trusted\"\naddress = %q\ntrusted_networks = [\"127.0.0.0/8\"]\nany_from = true\n", w.submission)
	}
	if s.dataDir == "" {
		s.dataDir = "data"
	}
	if !strings.Contains(s.queue, "retry_first") {
		s.queue += quick
	}
	if !strings.Contains(s.tracking, "too_soon") { // the readers of tests are quick
		s.tracking += "too_soon = \"0s\"\n"
	}
	if w.port == 0 {
		w.port = 25
	}
	return fmt.Sprintf(configurationTemplate, s.dataDir, s.top, s.listener, s.limits, cmp.Or(s.minFree, "1MB"), s.queue, w.dns.Addr(), w.port,
		!s.strangers, s.delivery, w.tracker, w.tracker, s.tracking, w.health, s.rest)
}

// start serves with these settings until the end of the test, where the log is
// looked through.
func (w *world) start(s settings) {
	w.Helper()
	if err := os.MkdirAll(filepath.Join(w.dir, "data"), 0o700); err != nil {
		w.Fatal(err)
	}
	var err error
	if w.daemon, err = harness.Serve(w.ctx, suite.binary, w.dir, w.configuration(s)); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if w.Failed() {
			out, _ := harness.Run(context.Background(), suite.binary, "--socket", w.daemon.Socket(), "events", "tail", "--no-follow", "--json")
			w.Logf("the last events:\n%s", out[max(0, len(out)-3000):])
		}
		w.inspectMetrics()
		w.daemon.Kill()
		w.inspectLog()
	})
}

func (w *world) restart() {
	w.Helper()
	if err := w.daemon.Restart(w.ctx); err != nil {
		w.Fatal(err)
	}
}

func (w *world) log() string {
	w.Helper()
	content, err := os.ReadFile(w.daemon.LogFile())
	if err != nil {
		w.Fatal(err)
	}
	return string(content)
}

// mailbox is an address in a log line; a masked one has a star.
var mailbox = regexp.MustCompile(`[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+`)

// inspectLog looks for what no log may hold: a data race, a panic, an address.
func (w *world) inspectLog() {
	log := w.log()
	for _, sign := range []string{"DATA RACE", "panic:", "goroutine 1 ["} {
		if at := strings.Index(log, sign); at >= 0 {
			w.Errorf("the daemon's log:\n%s", log[at:min(len(log), at+6000)])
		}
	}
	if address := mailbox.FindString(log); address != "" {
		w.Errorf("the log names %s", address)
	}
	if w.Failed() {
		w.Logf("the end of the daemon's log:\n%s", log[max(0, len(log)-4000):])
	}
}

// inspectMetrics looks for names of people and of their domains, where the
// daemon is still there to be asked.
func (w *world) inspectMetrics() {
	response, err := http.Get("http://" + w.health + "/metrics")
	if err != nil {
		return
	}
	defer response.Body.Close()
	metrics, err := io.ReadAll(response.Body)
	if err != nil {
		w.Errorf("metrics: %v", err)
	}
	for line := range strings.Lines(string(metrics)) {
		if strings.Contains(line, "@") || strings.Contains(line, ".example") {
			w.Errorf("the metrics name somebody: %s", line)
		}
	}
}

// await polls until the condition holds.
func (w *world) await(what string, condition func() bool) {
	w.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) || w.ctx.Err() != nil {
			w.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// settled waits until nothing is owed.
func (w *world) settled() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if err := w.daemon.Settled(ctx); err != nil {
		w.Fatal(err)
	}
}

// run executes a command against the daemon; it must succeed.
func (w *world) run(arguments ...string) string {
	w.Helper()
	out, err := w.daemon.Run(w.ctx, arguments...)
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// fails executes a command that must fail, and returns why it says it did.
func (w *world) fails(arguments ...string) string {
	w.Helper()
	out, err := w.daemon.Run(w.ctx, arguments...)
	if err == nil {
		w.Fatalf("postrider %s: succeeded with %s", strings.Join(arguments, " "), out)
	}
	return err.Error()
}

// write makes a file in the world's folder and returns its path.
func (w *world) write(name, content string) string {
	w.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.Fatal(err)
	}
	return path
}

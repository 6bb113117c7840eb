package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

func TestConfigCheckTellsEveryMistake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.write("good.toml", w.configuration(settings{}))
	if out, err := harness.Run(w.ctx, suite.binary, "config", "check", good); err != nil || !strings.HasSuffix(out, "ok\n") {
		t.Errorf("a good file: %q, %v", out, err)
	}
	bad := w.write("bad.toml", "hostname = \"mail.sender.example\"\n[queue]\nmax_age = 5\nmax_agee = \"5d\"\n[delivery]\nrate = \"many\"\n")
	out, err := harness.Run(w.ctx, suite.binary, "config", "check", bad)
	if status(err) != 1 || !strings.Contains(err.Error(), "3 mistakes") {
		t.Errorf("a bad file: status %d, %v", status(err), err)
	}
	for _, want := range []string{bad + ":3:", "queue.max_age", bad + ":4:", `did you mean "max_age"`, bad + ":6:", "delivery.rate"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not told:\n%s", want, out)
		}
	}
	var report struct {
		OK       bool              `json:"ok"`
		Problems []json.RawMessage `json:"problems"`
	}
	out, err = harness.Run(w.ctx, suite.binary, "config", "check", "--json", bad)
	if json.Unmarshal([]byte(out), &report) != nil || report.OK || len(report.Problems) != 3 || status(err) != 1 {
		t.Errorf("as JSON, status %d: %s", status(err), out)
	}
	if _, err := harness.Run(w.ctx, suite.binary, "config", "check", w.dir+"/absent.toml"); status(err) != 1 {
		t.Errorf("no file: %v", err)
	}
	if _, err := harness.Run(w.ctx, suite.binary, "serve", "--config", bad); status(err) != 1 || !strings.Contains(err.Error(), "delivery.rate") {
		t.Errorf("serving a bad file: %v", err)
	}
}

func TestReloadChangesAllOrNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	listener := "[[listener]]\nname = \"applications\"\naddress = " + strconv.Quote(w.submission) + "\n"
	first := w.credential("first", "first password", "sender.example")
	second := w.credential("second", "second password", "sender.example")
	w.start(settings{listener: listener, rest: first})
	may := func(user string) bool {
		w.Helper()
		c := w.connect()
		defer c.conn.Close()
		return c.login(user, user+" password") == nil
	}
	if !may("first") || may("second") {
		t.Fatal("before any reload")
	}

	w.write("postrider.toml", w.configuration(settings{listener: listener, rest: second}))
	if out := w.run("reload"); !strings.Contains(out, "reloaded") {
		t.Errorf("reload: %s", out)
	}
	if may("first") || !may("second") {
		t.Error("the reload did not change the credentials")
	}

	broken := w.configuration(settings{listener: listener, rest: first + "[[dkim]]\ndomain = \"sender.example\"\nselector = \"s\"\nkey = \"absent.pem\"\n"})
	w.write("postrider.toml", broken)
	if why := w.fails("reload"); !strings.Contains(why, "absent.pem") {
		t.Errorf("a broken file is refused with: %s", why)
	}
	w.hangUp("reload failed, nothing has changed")
	if may("first") || !may("second") {
		t.Error("a broken file changed something")
	}

	w.write("postrider.toml", strings.Replace(w.configuration(settings{listener: listener, rest: first}), "mail.sender.example", "other.sender.example", 1))
	w.hangUp("some changes wait for a restart")
	if !may("first") || may("second") || !strings.Contains(w.log(), "hostname") {
		t.Error("SIGHUP did not reload, or did not say what waits")
	}
}

// hangUp sends SIGHUP and waits for what the log says to it.
func (w *world) hangUp(sign string) {
	w.Helper()
	before := strings.Count(w.log(), sign)
	if err := w.daemon.Signal(syscall.SIGHUP); err != nil {
		w.Fatal(err)
	}
	w.await("the log says: "+sign, func() bool { return strings.Count(w.log(), sign) > before })
}

func TestOperatorSeesMailWithoutReaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{Rules: []testmx.Rule{
		{Command: testmx.RCPT, Pattern: "moved@*", Action: testmx.Action{Reply: "550 5.1.1 <moved@reader.example> has moved"}},
	}})
	w.start(settings{delivery: "idle_timeout = \"5m\"\n"}) // the site is to be seen at leisure
	follower, err := harness.Start(suite.binary, w.dir+"/follow.log", "--socket", w.daemon.Socket(), "events", "tail", "--json", "--type", "delivered,bounced", "--from-start", "--count", "2")
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Kill()
	var sent struct{ Message string }
	out := w.run("send", "--json", "--from", sender, "--subject", "Hello there", "grace@reader.example", "moved@reader.example")
	if err := json.Unmarshal([]byte(out), &sent); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.awaitEvent(sent.Message, event.Delivered)
	w.awaitEvent(sent.Message, event.Bounced)
	if !strings.Contains(string(mx.Messages()[0].Data), "Subject: Hello there\r\n") {
		t.Errorf("%s", mx.Messages()[0].Data)
	}
	w.arrives("the follower's two events", follower.Exited())
	w.checkTail(sent.Message)
	w.checkVersion()
	w.checkHealth()
}

// checkTail compares what events tail prints in its ways.
func (w *world) checkTail(id string) {
	w.Helper()
	followed, err := os.ReadFile(w.dir + "/follow.log")
	if err != nil {
		w.Fatal(err)
	}
	seen := map[event.Type]event.Event{}
	for line := range strings.Lines(string(followed)) {
		var e event.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.Errorf("%v: %s", err, line)
		}
		seen[e.Type] = e
	}
	if b := seen[event.Bounced]; len(seen) != 2 || b.Message != id || b.Reply == nil || b.Reply.Code != 550 || b.Recipient != "moved@reader.example" {
		w.Errorf("followed: %s", followed)
	}
	out := w.run("events", "tail", "--from-start", "--no-follow", "--type", "bounced")
	if strings.Count(out, "\n") != 1 || !strings.Contains(out, id) || !strings.Contains(out, "550 5.1.1") {
		w.Errorf("tail of bounces: %s", out)
	}
	if out := w.run("events", "tail", "--from-start", "--count", "1"); strings.Count(out, "\n") != 1 || !strings.Contains(out, "accepted") {
		w.Errorf("one event: %s", out)
	}
}

func (w *world) checkVersion() {
	w.Helper()
	var version struct {
		Version string
		Daemon  struct{ Version string }
	}
	if err := json.Unmarshal([]byte(w.run("version", "--json")), &version); err != nil || version.Version == "" || version.Version != version.Daemon.Version {
		w.Errorf("version: %+v, %v", version, err)
	}
	if out := w.run("sites", "--json"); !json.Valid([]byte(out)) || !strings.Contains(out, "reader.example") {
		w.Errorf("sites: %s", out)
	}
}

// checkHealth asks the listener for machines.
func (w *world) checkHealth() {
	w.Helper()
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if response, body := w.ask(http.MethodGet, "http://"+w.health+path, "", ""); response.StatusCode != http.StatusOK || body != want {
			w.Errorf("%s: %s %q", path, response.Status, body)
		}
	}
	if response, _ := w.ask(http.MethodGet, "http://"+w.health+"/v1/queues", "", ""); response.StatusCode != http.StatusNotFound {
		w.Errorf("the control interface is on the metrics listener: %s", response.Status)
	}
	_, metrics := w.ask(http.MethodGet, "http://"+w.health+"/metrics", "", "")
	for _, want := range []string{"postrider_queue_recipients 0", "postrider_submission_messages_accepted_total", "postrider_queue_fault 0"} {
		if !strings.Contains(metrics, "\n"+want) {
			w.Errorf("no metric %s", want)
		}
	}
}

func TestPrivacyDutiesReachEveryStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{Rules: []testmx.Rule{
		{Command: testmx.RCPT, Pattern: "waiting*", Action: testmx.Action{Reply: "451 4.2.1 later"}},
	}})
	w.start(settings{queue: "retry_first = \"1h\"\n", rest: dropping})
	const reader = "waiting-grace@reader.example"
	id := w.hand(page("X-Postrider-Stream: marketing", `X-Postrider-Metadata: {"customer": "ada-4711"}`), reader, "other@reader.example")
	w.awaitEvent(id, event.Deferred)
	w.awaitEvent(id, event.Delivered)
	if w.stored(reader, "queue") != 1 || w.stored(reader, "events") < 2 {
		t.Errorf("find: %s", w.run("privacy", "find", reader))
	}
	export := w.run("privacy", "export", reader)
	for line := range strings.Lines(export) {
		if !json.Valid([]byte(line)) || strings.Contains(line, "other@") {
			t.Errorf("exported: %s", line)
		}
	}
	for _, want := range []string{reader, "ada-4711", "accepted", "deferred"} {
		if !strings.Contains(export, want) {
			t.Errorf("the export does not hold %s:\n%s", want, export)
		}
	}

	w.run("privacy", "erase", reader)
	w.settled()
	if export := w.run("privacy", "export", reader); strings.Contains(export, "ada") {
		t.Errorf("after the erasure:\n%s", export)
	}
	w.await("the events forget", func() bool {
		out := w.run("events", "tail", "--from-start", "--no-follow", "--json")
		return !strings.Contains(out, reader) && strings.Contains(out, "other@reader.example")
	})
	// A keyed hash stays, so that they stay unmailed.
	again := w.hand(page("X-Postrider-Stream: marketing"), reader)
	if e := w.awaitEvent(again, event.Dropped); e.Type != event.Dropped || len(mx.Messages()) != 1 {
		t.Errorf("mailed after the erasure: %+v", e)
	}
}

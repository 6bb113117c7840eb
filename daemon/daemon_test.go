package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// run starts a daemon as the command does; stop ends it and returns its error.
func (s *site) run() (log *journal, reload chan<- os.Signal, stop func() error) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log = &journal{}
	hangup := make(chan os.Signal, 1)
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Options{ConfigFile: s.file, Version: "test", Log: log, Reload: hangup})
	}()
	s.t.Cleanup(cancel)
	return log, hangup, func() error {
		cancel()
		return <-done
	}
}

func (s *site) client() *api.Client {
	client := api.NewClient(s.path("data/admin.sock"))
	s.t.Cleanup(client.Close)
	return client
}

// TestRun proves the life of a daemon: it starts, tells the service manager,
// answers, takes mail, reloads by signal and by socket, and stops in order.
func TestRun(t *testing.T) {
	s := newSite(t, basic)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.path("notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", s.path("notify"))
	log, reload, stop := s.run()
	heard := make([]byte, 64)
	n, err := manager.Read(heard)
	if err != nil || string(heard[:n]) != "READY=1" {
		t.Fatalf("heard %q, %v", heard[:n], err)
	}
	ctx, client := context.Background(), s.client()
	if v, err := client.Version(ctx); err != nil || v.Version != "test" {
		t.Errorf("%+v, %v", v, err)
	}
	sent, err := client.Send(ctx, api.SendRequest{From: "a@example.com", To: []string{"b@[127.0.0.1]"}, Message: []byte(letter)})
	if err != nil || len(sent.Message) != 20 {
		t.Errorf("%+v, %v", sent, err)
	}
	s.write("postrider.toml", replaced(basic, `"debug"`, `"info"`))
	reload <- syscall.SIGHUP
	log.await(t, "configuration reloaded")
	s.write("postrider.toml", replaced(basic, `"debug"`, `"loud"`))
	contains(t, client.Reload(ctx), `not "loud"`)
	reload <- syscall.SIGHUP
	log.await(t, "reload failed, nothing has changed")
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if n, _ = manager.Read(heard); string(heard[:n]) != "STOPPING=1" {
		t.Errorf("heard %q", heard[:n])
	}
	if strings.Contains(log.String(), "b@[127.0.0.1]") {
		t.Errorf("the log tells of a recipient:\n%s", log)
	}
	if _, err := os.Stat(s.path("data/admin.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

// TestRunAgain proves that everything is given back: another daemon starts on
// the same folder.
func TestRunAgain(t *testing.T) {
	s := newSite(t, basic)
	for range 2 {
		log, _, stop := s.run()
		log.await(t, "msg=ready")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStopsBeforeStart proves that a daemon that is asked to stop while it
// starts does so without an error.
func TestStopsBeforeStart(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Run(ctx, Options{ConfigFile: newSite(t, basic).file, Log: io.Discard}); err != nil {
		t.Error(err)
	}
}

func TestRunRefusesBadConfiguration(t *testing.T) {
	s := newSite(t, "hostname = 1\n")
	contains(t, Run(t.Context(), Options{ConfigFile: s.file, Log: io.Discard}), s.file+":1:12: hostname: ")
	contains(t, Run(t.Context(), Options{ConfigFile: s.path("none"), Log: io.Discard}), "configuration: open ")
}

// TestStartFails proves, for each step, that what was started before is
// stopped, that the error says where it was, and that another start succeeds
// when the obstacle is gone.
func TestStartFails(t *testing.T) {
	occupied, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer occupied.Close()
	taken := "\"" + occupied.Addr().String() + "\""
	file := func(name string) func(*testing.T, *site, *daemon) {
		return func(t *testing.T, s *site, _ *daemon) {
			if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o700); err != nil {
				t.Fatal(err)
			}
			s.write(name, "in the way")
		}
	}
	folder := func(name string) func(*testing.T, *site, *daemon) {
		return func(t *testing.T, s *site, _ *daemon) {
			if err := os.MkdirAll(s.path(name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	metric := func(name string) func(*testing.T, *site, *daemon) {
		return func(_ *testing.T, _ *site, d *daemon) {
			d.metrics.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: name}))
		}
	}
	free := `"127.0.0.1:0"`
	for _, test := range []struct {
		name, text string
		obstruct   func(*testing.T, *site, *daemon)
		want       string
	}{
		{"data", basic, file("data"), "data folder: mkdir "},
		{"lock", basic, folder("data/lock"), "start data folder: open "},
		{"keys", basic + "[[dkim]]\ndomain=\"a.example\"\nselector=\"s\"\nkey=\"k.pem\"\n", nil, "dkim a.example: "},
		{"events", basic, file("data/events"), "start events: "},
		{"event metrics", basic, metric("postrider_events_repaired_total"), "start events: "},
		{"suppressions", basic, folder("data/suppress.db"), "start suppressions: "},
		{"queue", basic, file("data/journal"), "start queue: "},
		{"queue metrics", basic, metric("postrider_queue_recipients"), "start queue: "},
		{"token keys", basic, file("data/tracking.keys"), "start tracking keys: "},
		{"renderer", basic, metric("postrider_render_failures_total"), "start delivery: "},
		{"tracker", replaced(basic, "[tracking]\nlisten = "+free, "[tracking]\nlisten = "+taken), nil, "start tracker: listen tcp"},
		{"submission", replaced(basic, "address = "+free, "address = "+taken), nil, "start submission: listener \"local\": "},
		{"admin socket", basic, file("data/admin.sock"), "start admin: "},
		{"admin http", replaced(basic, "http = "+free, "http = "+taken), nil, "start admin: listen tcp"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, basic)
			s.write("k.pem", "no key")
			before := goleak.IgnoreCurrent()
			s.write("postrider.toml", test.text)
			d, _ := s.daemon()
			if test.obstruct != nil {
				test.obstruct(t, s, d)
			}
			contains(t, d.start(context.Background()), test.want)
			if err := d.stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
			if err := goleak.Find(before); err != nil {
				t.Error(err)
			}
			if test.obstruct != nil { // what is in the way
				os.RemoveAll(s.path("data"))
			}
			s.write("postrider.toml", basic)
			again, _ := s.daemon()
			if err := errors.Join(again.start(context.Background()), again.stop()); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// TestSecondDaemon proves that two do not share a folder, and that the first
// does not notice.
func TestSecondDaemon(t *testing.T) {
	s := newSite(t, basic)
	s.started()
	second, _ := s.daemon()
	done := make(chan error, 1)
	go func() { done <- second.start(context.Background()) }()
	select {
	case err := <-done:
		contains(t, err, "is in use by another daemon")
	case <-time.After(30 * time.Second):
		t.Fatal("the second waits for ever")
	}
	if err := second.stop(); err != nil {
		t.Error(err)
	}
	if _, err := s.client().Version(context.Background()); err != nil {
		t.Errorf("the first: %v", err)
	}
}

// TestStopWithStreams proves that neither somebody who follows events nor
// somebody who does not read them holds a stop, and that the reader learns
// that it is over.
func TestStopWithStreams(t *testing.T) {
	s := newSite(t, basic)
	log, _, stop := s.run()
	log.await(t, "msg=ready")
	ended := make(chan error, 1)
	client := s.client()
	go func() {
		ended <- client.Events(context.Background(), 0, true, func(api.Record) error { return nil })
	}()
	silent, err := net.Dial("unix", s.path("data/admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	fmt.Fprint(silent, "GET /v1/events?after=0&follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := silent.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the reader thinks that there is no more")
	}
}

// TestHealth proves what the metrics listener serves.
func TestHealth(t *testing.T) {
	_, log := newSite(t, basic).started()
	found := regexp.MustCompile(`msg="metrics and health" address=(\S+)`).FindStringSubmatch(log.String())
	if found == nil {
		t.Fatalf("log:\n%s", log)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]string{
		"/healthz": "ok\n", "/readyz": "ready\n", "/metrics": "postrider_events_damaged_total 0",
	} {
		response, err := client.Get("http://" + found[1] + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %.200s, %v", path, response.StatusCode, body, err)
		}
	}
}

package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client speaks to a handler over a unix socket.
func client(t *testing.T, handler http.HandlerFunc) *api.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	c := api.NewClient(path)
	t.Cleanup(func() {
		c.Close()
		server.Close()
	})
	return c
}

// TestRequests proves what goes over the wire for each call.
func TestRequests(t *testing.T) {
	var got string
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.String() + " " + string(body)
		if r.URL.Path == "/v1/sites" {
			_, _ = io.WriteString(w, "[]")
			return
		}
		_, _ = io.WriteString(w, "{}")
	})
	ctx := context.Background()
	only := func(_ any, err error) error { return err }
	for want, call := range map[string]func() error{
		"GET /v1/version ": func() error { return only(c.Version(ctx)) },
		"GET /v1/queues ":  func() error { return only(c.Queues(ctx)) },
		"GET /v1/sites ":   func() error { return only(c.Sites(ctx)) },
		`POST /v1/recipients {"selector":{"domain":"d"},"after":"a"}`: func() error {
			return only(c.List(ctx, api.ListRequest{Selector: api.Selector{Domain: "d"}, After: "a"}))
		},
		`POST /v1/retry {"selector":{},"all":true}`:    func() error { return only(c.Retry(ctx, api.ChangeRequest{All: true})) },
		`POST /v1/cancel {"selector":{},"reason":"r"}`: func() error { return only(c.Cancel(ctx, api.ChangeRequest{Reason: "r"})) },
		`POST /v1/messages {"from":"f","to":["t"],"message":"bQ=="}`: func() error {
			return only(c.Send(ctx, api.SendRequest{From: "f", To: []string{"t"}, Message: []byte("m")}))
		},
		"POST /v1/reload ": func() error { return c.Reload(ctx) },
		`POST /v1/subjects/a%2Fb {"tenant":"t","address":"x"}`: func() error { return only(c.Subject(ctx, "a/b", api.SubjectRequest{Tenant: "t", Address: "x"})) },
		`POST /v1/subjects/export {"tenant":"","address":""}`:  func() error { return c.Export(ctx, api.SubjectRequest{}, io.Discard) },
		"GET /v1/stats ": func() error { return only(c.Stats(ctx, api.StatsRequest{})) },
		"GET /v1/stats?by=day&campaign=a%26b&from=2026-03-01&limit=5&stream=s&tenant=t&to=2026-03-02 ": func() error {
			return only(c.Stats(ctx, api.StatsRequest{Tenant: "t", Stream: "s", Campaign: "a&b", From: "2026-03-01", To: "2026-03-02", By: "day", Limit: 5}))
		},
		"GET /v1/events?after=7&follow=false ": func() error { return c.Events(ctx, 7, false, func(api.Record) error { return nil }) },
	} {
		if err := call(); err != nil || got != want {
			t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
		}
	}
}

// TestFailures proves that what the daemon says is what the caller gets.
func TestFailures(t *testing.T) {
	answer := ""
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, answer)
	})
	for text, want := range map[string]string{
		`{"status":418,"error":"no coffee"}`: "no coffee",
		"<html>":                             "the daemon answered 418 I'm a teapot",
		`{"status":418}`:                     "the daemon answered 418 I'm a teapot",
	} {
		answer = text
		_, err := c.Queues(context.Background())
		var failure *api.Error
		if !errors.As(err, &failure) || failure.Status != 418 || failure.Error() != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestBadAnswers proves that an answer that is none is an error.
func TestBadAnswers(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "nonsense") })
	ctx := context.Background()
	if _, err := c.Version(ctx); err == nil || !strings.HasPrefix(err.Error(), "read the daemon's answer: ") {
		t.Error(err)
	}
	var syntax *json.SyntaxError
	if err := c.Events(ctx, 0, false, func(api.Record) error { return nil }); !errors.As(err, &syntax) {
		t.Error(err)
	}
	cut := client(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"position":"1","event":{}}`+"\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	if err := cut.Events(ctx, 0, false, func(api.Record) error { return nil }); !errors.Is(err, api.ErrCut) {
		t.Error(err)
	}
	if err := cut.Export(ctx, api.SubjectRequest{}, io.Discard); !errors.Is(err, api.ErrCut) {
		t.Error(err)
	}
}

// TestExplains proves that the errors that people meet first say what to do,
// and none tells of a URL that nobody typed.
func TestExplains(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	locked := filepath.Join(dir, "locked")
	if err := os.Mkdir(locked, 0); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no daemon answers at " + dir + "/none: is postrider serve running? (--socket names another)",
		stale:                      "no daemon answers at " + stale + ": is postrider serve running? (--socket names another)",
		filepath.Join(dir, strings.Repeat("x", 200)):   "ask the daemon: dial unix",
		filepath.Join(locked, "s"):                     "may not be opened by this user",
		filepath.Join(dir, "stale", "below", "a", "f"): "ask the daemon: dial unix",
	} {
		if strings.HasPrefix(path, locked) && os.Getuid() == 0 {
			continue // root may
		}
		c := api.NewClient(path)
		_, err := c.Version(context.Background())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "http://") {
			t.Errorf("%s: %v", path, err)
		}
		c.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := api.NewClient(stale).Version(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

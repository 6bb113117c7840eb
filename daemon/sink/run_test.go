package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/internal/testmx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// output is a buffer for a writer in another goroutine.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start runs a sink that prints to out; stop ends it and returns what it
// printed.
func start(t *testing.T, o Options, out *output) (at Listening, stop func() string) {
	t.Helper()
	if len(o.Listen) == 0 {
		o.Listen = []string{"127.0.0.1:0"}
	}
	ready := make(chan Listening, 1)
	o.Output, o.Ready = out, func(l Listening) { ready <- l }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o) }()
	stop = sync.OnceValue(func() string {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		return out.String()
	})
	t.Cleanup(func() { stop() })
	select {
	case at = <-ready:
	case err := <-ended:
		t.Fatalf("run: %v", err)
	}
	return at, stop
}

func deliver(t *testing.T, addr netip.AddrPort, to ...string) error {
	t.Helper()
	return smtp.SendMail(addr.String(), nil, "a@from.example", to, []byte("A: b\r\n\r\n.text\r\n"))
}

func TestKeepsCountsAndPlaysRules(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kept")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "00000007.eml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	rulesFile := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(rulesFile, []byte("# one\nrcpt:@no.example=550 5.1.1 no\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at, stop := start(t, Options{
		Listen: []string{"127.0.0.1:0", "127.0.0.2:0"}, Keep: dir, RulesFile: rulesFile,
		Rules: []string{"no-starttls", "rcpt:@later.example=451 4.2.1 later;times=1"}, StatsListen: "127.0.0.1:0",
	}, &output{})
	if err := deliver(t, at.Mail[0], "b@yes.example", "c@yes.example"); err != nil {
		t.Error(err)
	}
	if err := deliver(t, at.Mail[1], "b@no.example"); err == nil || !strings.Contains(err.Error(), "5.1.1") {
		t.Errorf("got %v", err)
	}
	if err := deliver(t, at.Mail[1], "b@later.example"); err == nil {
		t.Error("not deferred")
	}
	if err := deliver(t, at.Mail[1], "b@later.example"); err != nil {
		t.Error(err)
	}
	checkCounters(t, at.Stats)
	checkKept(t, dir)
	out := stop()
	for _, want := range []string{
		"sink: taking mail on 127.0.0.2:", "counters at http://127.0.0.1:",
		"sink: domain=\"yes.example\" accepted=2 refused=0\n", "sink: domain=\"no.example\" accepted=0 refused=1\n",
		"messages=2 recipients=3 bytes=30 refused=2 dropped=0 per_s=",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "@") {
		t.Errorf("address in\n%s", out)
	}
}

func checkCounters(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + addr.String() + "/counters")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var c testmx.Counters
	if err := json.NewDecoder(response.Body).Decode(&c); err != nil {
		t.Fatal(err)
	}
	if c.Messages != 2 || c.Connections != 4 || c.Domains["no.example"].Refused != 1 {
		t.Errorf("%+v", c)
	}
}

func checkKept(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		names[i] = filepath.Base(name)
	}
	if got, want := strings.Join(names, " "), "00000007.eml 00000008.eml 00000008.json 00000009.eml 00000009.json"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	message, err := os.ReadFile(filepath.Join(dir, "00000008.eml"))
	if err != nil || string(message) != "A: b\r\n\r\n.text\r\n" {
		t.Errorf("%q, %v", message, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "00000008.json"))
	if err != nil {
		t.Fatal(err)
	}
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	if e.From != "a@from.example" || len(e.Recipients) != 2 || e.Recipients[1].Address != "c@yes.example" || e.Size != 15 || e.TLS {
		t.Errorf("%+v", e)
	}
}

func TestOnMessageAndInterval(t *testing.T) {
	out := &output{}
	var seen []*testmx.Message
	var mu sync.Mutex
	at, stop := start(t, Options{
		Rules: []string{"no-starttls"}, StatsInterval: time.Millisecond, Keep: t.TempDir(),
		OnMessage: func(m *testmx.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if seen = append(seen, m); len(seen) == 2 {
				return errors.New("enough")
			}
			return nil
		},
	}, out)
	if err := deliver(t, at.Mail[0], "b@yes.example"); err != nil {
		t.Error(err)
	}
	if err := deliver(t, at.Mail[0], "b@yes.example"); err == nil {
		t.Error("not refused")
	}
	for !strings.Contains(out.String(), "messages=1 ") {
		time.Sleep(time.Millisecond) // the test's deadline ends it
	}
	if printed := stop(); strings.Contains(printed, "messages=2 ") {
		t.Errorf("counts what was refused:\n%s", printed)
	}
}

func TestRunCannotBegin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("what"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"rule":            {Rules: []string{"what"}},
		"rules file":      {RulesFile: file},
		"no rules file":   {RulesFile: file + ".absent"},
		"directory":       {Keep: file},
		"address":         {Listen: []string{"127.0.0.1:0", "nowhere"}},
		"public counters": {Listen: []string{"127.0.0.1:0"}, StatsListen: "192.0.2.1:80"},
	} {
		if err := Run(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

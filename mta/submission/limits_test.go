package submission

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestConnectionLimits(t *testing.T) {
	o := options(trusted())
	o.Limits.ConnectionsPerIP = 2
	f := start(t, o)
	a, _ := f.greeted(0), f.greeted(0)
	c := f.dial(0)
	c.expect("421 4.7.0")
	c.closed()
	a.say("QUIT", "221")
	a.closed()
	eventually(t, "a place is free", func() bool {
		f.server.peers.mu.Lock()
		defer f.server.peers.mu.Unlock()
		return f.server.peers.total == 1
	})
	f.greeted(0)
}

func TestAddressCounter(t *testing.T) {
	c := newAddressCounter()
	limits := Limits{Connections: 3, ConnectionsPerIP: 1}
	leave, ok := c.enter(netip.MustParseAddr("2001:db8::1"), limits)
	if !ok {
		t.Error("first")
	}
	again, ok := c.enter(netip.MustParseAddr("2001:db8::2"), limits)
	if again(); ok {
		t.Error("another address of the same /64")
	}
	other, ok := c.enter(netip.MustParseAddr("2001:db8:0:1::1"), limits)
	if !ok {
		t.Error("another /64")
	}
	unix, ok := c.enter(netip.Addr{}, limits)
	if !ok {
		t.Error("no address")
	}
	over, ok := c.enter(netip.Addr{}, limits)
	if over(); ok {
		t.Error("total")
	}
	leave()
	other()
	unix()
	if len(c.open) != 0 || c.total != 0 {
		t.Errorf("left over: %v", c.open)
	}
}

func TestFailureWindow(t *testing.T) {
	f := newFailureWindow()
	limits := Limits{AuthFailuresPerIP: 2, AuthWindow: time.Minute}
	now := time.Unix(1e9, 0)
	address := netip.MustParseAddr("192.0.2.1")
	f.add(address, limits, now)
	if f.blocked(address, limits, now) {
		t.Error("after one")
	}
	f.add(address, limits, now)
	if !f.blocked(address, limits, now.Add(59*time.Second)) || f.blocked(address, limits, now.Add(time.Minute)) {
		t.Error("window")
	}
	f.add(netip.Addr{}, limits, now)
	if !f.sweep(now.Add(time.Hour)) || len(f.clients) != 0 {
		t.Errorf("left over: %v", f.clients)
	}
}

func TestRecipientLimitAndDuplicates(t *testing.T) {
	o := options(trusted())
	o.Limits.Recipients = 2
	f := start(t, o)
	c := f.greeted(0)
	c.say("MAIL FROM:<sender@example.com>", "250")
	c.say("RCPT TO:<a@example.net>", "250")
	c.say("RCPT TO:<a@EXAMPLE.net>", "250")
	c.say("RCPT TO:<b@example.net>", "250")
	c.say("RCPT TO:<c@example.net>", "452 4.5.3")
	c.say("RCPT TO:<b@example.net>", "250")
	c.say("DATA", "354")
	c.say(simple+"\r\n.", "250")
	if n := len(f.store.last(t).Recipients); n != 2 {
		t.Errorf("%d recipients", n)
	}
}

func TestMessagesOnOneConnection(t *testing.T) {
	o := options(trusted())
	o.Limits.Messages = 2
	f := start(t, o)
	c := f.greeted(0)
	c.message(simple, "250")
	c.message(simple, "250")
	c.say("MAIL FROM:<sender@example.com>", "421 4.7.0")
	c.closed()
}

func TestCommandErrors(t *testing.T) {
	o := options(trusted())
	o.Limits.CommandErrors = 5
	f := start(t, o)
	c := f.greeted(0)
	for _, line := range []string{"FOO", "", "MAILFROM:<a@b>", "EHLO"} {
		c.say(line, "50")
	}
	c.message(simple, "250") // forgives
	c.say("MAIL FROM:<sender@example.com>", "250")
	for range 10 {
		c.say("RCPT TO:<x>", "501")
	}
	c.say("RSET", "250")
	for range 5 {
		c.say("RCPT TO:<x>", "50")
	}
	c.expect("421 4.7.0")
	c.closed()

	c = f.dial(0)
	c.expect("220")
	c.say("GET / HTTP/1.1", "421")
	c.closed()
	c = f.greeted(0)
	c.say("NOOP "+strings.Repeat("x", 20_000), "500 5.5.2")
	c = f.greeted(0)
	c.say("BDAT ten", "501")
	c.closed()
}

func TestMemoryBudget(t *testing.T) {
	o := options(trusted())
	o.Limits.Memory = 80 << 10
	f := start(t, o)
	one, two, three := f.greeted(0), f.greeted(0), f.greeted(0)
	one.envelope()
	one.say("DATA", "354")
	two.envelope()
	two.say("DATA", "354")
	three.envelope()
	three.say("DATA", "452 4.3.1")
	three.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(simple), simple))
	three.expect("452 4.3.1")
	// A body that outgrows the budget is drained and refused.
	two.say(simple+strings.Repeat("x", 60_000)+"\r\n.", "452 4.3.1")
	two.say("NOOP", "250")
	one.say(simple+"\r\n.", "250")
	three.message(simple, "250")
	three.envelope()
	three.say("DATA", "354")
	three.conn.Close()
	one.say("QUIT", "221")
	two.say("QUIT", "221")
	eventually(t, "all memory is given back", func() bool { return f.server.buffers.held.Load() == 0 })
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	f := start(t, options(Listener{Name: "unix", Address: "unix:" + path, Tenant: "hidden", AnyFrom: true, Mode: 0o600}))
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	f.greeted(0).message(simple, "250")
	got := f.store.last(t)
	if got.Message.Tenant != "hidden" || !strings.HasPrefix(string(got.Body), "Received: by mx.test with ESMTP id ") {
		t.Errorf("%q", got.Body)
	}
	if _, err := New(options()); err == nil {
		t.Error("no store, no error")
	}
	other, err := New(Options{
		Hostname: "mx.test", Store: f.store, Accounts: accounts(),
		Listeners: []Listener{{Name: "unix", Address: "unix:" + path}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Listen(); err == nil {
		t.Error("took the socket of a living server")
	}
}

func TestProxyProtocol(t *testing.T) {
	l := trusted()
	l.Name, l.ProxyNetworks = "proxied", loopback()
	l.TrustedNetworks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	f := start(t, options(l, trusted()))
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x09\xc0\x00\x02\x01\x10\x00\x02\x4b"
	for header, want := range map[string]string{
		"PROXY TCP4 192.0.2.8 192.0.2.1 4000 587\r\n": "([192.0.2.8])",
		v2: "([192.0.2.9])",
	} {
		c := f.dial(0)
		c.send(header)
		c.expect("220")
		c.say("EHLO client.example", "250")
		c.message(simple, "250")
		if body := string(f.store.last(t).Body); !strings.Contains(body, want) {
			t.Errorf("%q: %q", header, body)
		}
	}
	for _, header := range []string{
		"PROXY TCP4 198.51.100.8 192.0.2.1 4000 587\r\n", "PROXY UNKNOWN\r\n",
		"PROXY TCP6 2001:db8::1 2001:db8::2 4000 587\r\n",
	} {
		c := f.dial(0)
		c.send(header)
		c.expect("220")
		offered := c.say("EHLO client.example", "250")
		if strings.Contains(offered, "AUTH") {
			t.Errorf("%q may log in in the clear", header)
		}
		c.say("MAIL FROM:<sender@example.com>", "530")
	}
	for _, header := range []string{"EHLO no.header\r\n", "PROXY nonsense\r\n", "\x16\x03\x01\r\n"} {
		c := f.dial(0)
		c.send(header)
		c.closed()
	}
	c := f.dial(1)
	c.send("PROXY TCP4 192.0.2.8 192.0.2.1 4000 587\r\n")
	c.expect("220")
	c.expect("500")
	eventually(t, "bad headers are counted", func() bool {
		return testutil.ToFloat64(f.server.metrics.connections.WithLabelValues("proxied", connectionProxy)) == 3
	})
}

func TestImplicitTLS(t *testing.T) {
	serverTLS, _ := certificate(t)
	o := options(Listener{Name: "smtps", Address: "127.0.0.1:0", TLS: TLSImplicit, TLSConfig: serverTLS})
	o.Limits.Handshake = 100 * time.Millisecond
	f := start(t, o)
	c := f.dial(0)
	c.send("EHLO in.the.clear\r\n")
	if line, _ := c.r.ReadString('\n'); strings.HasPrefix(line, "220") {
		t.Error("greeted in the clear")
	}
	silent := f.dial(0)
	silent.closed()
}

func TestOptionsAreChecked(t *testing.T) {
	good := options(trusted())
	good.Store = &memory{}
	for name, change := range map[string]func(*Options){
		"host name":       func(o *Options) { o.Hostname = "not a host" },
		"store":           func(o *Options) { o.Store = nil },
		"accounts":        func(o *Options) { o.Accounts = nil },
		"limit":           func(o *Options) { o.Limits.Memory = -1 },
		"size":            func(o *Options) { o.Limits.MessageSize = 1 << 40 },
		"age":             func(o *Options) { o.MaxAge = -1 },
		"same name":       func(o *Options) { o.Listeners = append(o.Listeners, trusted()) },
		"no tenant":       func(o *Options) { o.Listeners[0].Tenant = "" },
		"unknown tenant":  func(o *Options) { o.Listeners[0].Tenant = "nobody" },
		"no certificate":  func(o *Options) { o.Listeners[0].TLS = TLSStart },
		"unknown TLSMode": func(o *Options) { o.Listeners[0].TLS = 7 },
	} {
		o := good
		o.Listeners = []Listener{trusted()}
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}

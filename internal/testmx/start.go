package testmx

import (
	"net/netip"
)

// TB is the part of testing.TB that is needed, so that programs which use this
// package do not link the testing package.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Start runs a server until the end of the test. Messages are kept and looked
// into strictly.
func Start(t TB, o Options) (*Server, netip.AddrPort) {
	t.Helper()
	o.Keep, o.Strict = true, true
	server := New(o)
	addr, err := server.Listen()
	if err != nil {
		t.Fatalf("fake mail exchanger: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Fatalf("fake mail exchanger: %v", err)
		}
	})
	return server, addr
}

// StartProxy runs a proxy until the end of the test.
func StartProxy(t TB, o ProxyOptions) (*Proxy, netip.AddrPort) {
	t.Helper()
	proxy := NewProxy(o)
	addr, err := proxy.Listen()
	if err != nil {
		t.Fatalf("delay proxy: %v", err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Fatalf("delay proxy: %v", err)
		}
	})
	return proxy, addr
}

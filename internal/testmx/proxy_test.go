package testmx

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestProxyDelaysWithoutSlowingDown(t *testing.T) {
	const delay = 20 * time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		all, err := io.ReadAll(conn)
		if err == nil {
			_, _ = conn.Write(all) // the client checks
		}
	}()
	_, addr := StartProxy(t, ProxyOptions{Target: l.Addr().(*net.TCPAddr).AddrPort(), Delay: delay})
	start := time.Now()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d octets came back, %v", len(got), err)
	}
	<-echoed
	// Two for the handshake, one there and one back: never less.
	if took := time.Since(start); took < 4*delay {
		t.Errorf("took %s", took)
	}
}

func TestProxyWithoutTarget(t *testing.T) {
	_, addr := StartProxy(t, ProxyOptions{Target: closedPort(t)})
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if rest, _ := io.ReadAll(conn); len(rest) > 0 {
		t.Errorf("%q", rest)
	}
}

func TestProxyCloseEndsConnections(t *testing.T) {
	_, target := Start(t, Options{})
	proxy := NewProxy(ProxyOptions{Target: target, Delay: time.Millisecond})
	addr, err := proxy.Listen()
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, addr)
	c.expect("220")
	if err := proxy.Close(); err != nil {
		t.Fatal(err)
	}
	c.expectClosed()
}

func closedPort(t *testing.T) (addr netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().(*net.TCPAddr).AddrPort()
}

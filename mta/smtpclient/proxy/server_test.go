package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/pires/go-proxyproto"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server on loopback for the length of a test.
func serve(t testing.TB, handle func(conn net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			group.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		group.Wait()
	})
	return listener.Addr().String()
}

// closed returns an address where nobody listens.
func closed(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// speaker is a target that greets, says whom it sees, and repeats one line.
func speaker(t testing.TB) string {
	return serve(t, func(conn net.Conn) {
		fmt.Fprintf(conn, "220 hello %s\r\n", conn.RemoteAddr().(*net.TCPAddr).IP)
		line, _ := bufio.NewReader(conn).ReadString('\n')
		_, _ = io.WriteString(conn, line)
	})
}

// splice carries both ways until one end is done.
func splice(a, b net.Conn) {
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_ = pair[0].Close()
		})
	}
	both.Wait()
}

// socksServer is a SOCKS5 server.
type socksServer struct {
	username, password string
	// binds takes BIND for a source address, as KumoMTA's does.
	binds bool
}

func (s *socksServer) handle(conn net.Conn) {
	if !s.login(conn) {
		return
	}
	var source netip.Addr
	for {
		command, address, ok := readRequest(conn)
		switch {
		case !ok:
			return
		case command == commandBind && s.binds:
			source = address.Addr()
			writeReply(conn, 0, address)
		case command != commandConnect:
			writeReply(conn, 7, netip.AddrPort{})
			return
		default:
			s.connect(conn, source, address)
			return
		}
	}
}

func (s *socksServer) connect(conn net.Conn, source netip.Addr, address netip.AddrPort) {
	var local netip.AddrPort
	if source.IsValid() {
		local = netip.AddrPortFrom(source, 0)
	}
	target, err := (&net.Dialer{}).DialTCP(context.Background(), "tcp", local, address)
	if err != nil {
		writeReply(conn, 5, netip.AddrPort{})
		return
	}
	defer target.Close()
	writeReply(conn, 0, target.LocalAddr().(*net.TCPAddr).AddrPort())
	splice(conn, target)
}

func (s *socksServer) login(conn net.Conn) bool {
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil || head[0] != 5 {
		return false
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(conn, methods); err != nil {
		return false
	}
	if s.username == "" {
		_, err := conn.Write([]byte{5, methodNone})
		return err == nil
	}
	if bytes.IndexByte(methods, methodPassword) < 0 {
		_, _ = conn.Write([]byte{5, methodRefused})
		return false
	}
	_, _ = conn.Write([]byte{5, methodPassword})
	if readText(conn, 2) != s.username || readText(conn, 1) != s.password {
		_, _ = conn.Write([]byte{1, 1})
		return false
	}
	_, err := conn.Write([]byte{1, 0})
	return err == nil
}

// readText reads a text whose length is in the last of skip octets.
func readText(conn net.Conn, skip int) string {
	head := make([]byte, skip)
	if _, err := io.ReadFull(conn, head); err != nil {
		return ""
	}
	text := make([]byte, head[skip-1])
	_, _ = io.ReadFull(conn, text)
	return string(text)
}

func readRequest(conn net.Conn) (command byte, address netip.AddrPort, ok bool) {
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil || head[0] != 5 {
		return 0, address, false
	}
	address, err := readAddress(conn)
	return head[1], address, err == nil
}

func writeReply(conn net.Conn, code byte, address netip.AddrPort) {
	if !address.IsValid() {
		address = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	}
	reply := request(code, address) // the same but for the second octet's meaning
	_, _ = conn.Write(reply)
}

// proxyServer takes the PROXY protocol, version 2, and connects from where the
// header says to where it says.
func proxyServer(t testing.TB) (address string, headers func() []proxyproto.Header) {
	var mu sync.Mutex
	var seen []proxyproto.Header
	address = serve(t, func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		header, err := proxyproto.Read(reader)
		if err != nil {
			t.Errorf("header: %v", err)
			return
		}
		mu.Lock()
		seen = append(seen, *header)
		mu.Unlock()
		from, to, _ := header.TCPAddrs()
		target, err := net.DialTCP("tcp", &net.TCPAddr{IP: from.IP}, to)
		if err != nil {
			return
		}
		defer target.Close()
		splice(conn, target)
	})
	return address, func() []proxyproto.Header {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

func made(t testing.TB, o Options) *Proxy {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// converse dials and demands that the target sees the source and answers.
func converse(t testing.TB, p *Proxy, target, source string) net.Conn {
	t.Helper()
	conn, err := p.Dial(t.Context(), "tcp", target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || line != "220 hello "+source+"\r\n" {
		t.Fatalf("greeted by %q, %v", line, err)
	}
	pieces := net.Buffers{[]byte("over "), []byte("and out\n")}
	if _, err := pieces.WriteTo(conn); err != nil {
		t.Fatal(err)
	}
	if line, err := reader.ReadString('\n'); err != nil || line != "over and out\n" {
		t.Fatalf("answered %q, %v", line, err)
	}
	if got := conn.RemoteAddr().String(); got != target {
		t.Errorf("the remote end is %s, not the target %s", got, target)
	}
	return conn
}

// failed demands an *Error at a step.
func failed(t testing.TB, err error, step Step) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Step != step {
		t.Fatalf("got %v, want an error at %s", err, step)
	}
	if e.SourceFault() != (step != Target) {
		t.Errorf("%v: wrong party blamed", e)
	}
	for _, secret := range []string{"hunter2", "jane", "127.0.0.1"} {
		if strings.Contains(e.Error(), secret) {
			t.Errorf("%q holds %s", e.Error(), secret)
		}
	}
	return e
}

func dialling(t testing.TB, o Options, target string) error {
	t.Helper()
	conn, err := made(t, o).Dial(t.Context(), "tcp", target)
	if err == nil {
		_ = conn.Close()
		t.Fatal("connected")
	}
	return err
}

func TestSOCKS5(t *testing.T) {
	target := speaker(t)
	open := serve(t, (&socksServer{}).handle)
	closedDoor := serve(t, (&socksServer{username: "jane", password: "hunter2"}).handle)
	conn := converse(t, made(t, Options{Address: open}), target, "127.0.0.1")
	if local := conn.LocalAddr().(*net.TCPAddr); !local.IP.IsLoopback() || local.Port == 0 {
		t.Errorf("the local end is %v", local)
	}
	converse(t, made(t, Options{Address: open, Username: "jane", Password: "hunter2"}), target, "127.0.0.1")
	converse(t, made(t, Options{Address: closedDoor, Username: "jane", Password: "hunter2"}), target, "127.0.0.1")
	if e := failed(t, dialling(t, Options{Address: closedDoor}, target), Greeting); !errors.Is(e, ErrMethod) {
		t.Error(e)
	}
	wrong := Options{Address: closedDoor, Username: "jane", Password: "hunter3"}
	if e := failed(t, dialling(t, wrong, target), Authentication); !errors.Is(e, ErrCredentials) {
		t.Error(e)
	}
}

func TestSOCKS5OverIPv6(t *testing.T) {
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 on loopback")
	}
	defer listener.Close()
	accepted := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			err = conn.Close()
		}
		accepted <- err
	}()
	conn, err := made(t, Options{Address: serve(t, (&socksServer{}).handle)}).Dial(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if err := <-accepted; err != nil {
		t.Error(err)
	}
}

func TestSOCKS5Bind(t *testing.T) {
	target := speaker(t)
	binding := serve(t, (&socksServer{binds: true}).handle)
	o := Options{Address: binding, Bind: true, IPv4: netip.MustParseAddr("127.0.0.9")}
	conn := converse(t, made(t, o), target, "127.0.0.9")
	if local := conn.LocalAddr().(*net.TCPAddr).IP.String(); local != "127.0.0.9" {
		t.Errorf("the local end is %s", local)
	}
	o.Address = serve(t, (&socksServer{}).handle)
	if e := failed(t, dialling(t, o, target), SourceAddress); e.Code != 7 {
		t.Error(e)
	}
}

func TestPROXYv2(t *testing.T) {
	target := speaker(t)
	address, headers := proxyServer(t)
	o := Options{Protocol: PROXYv2, Address: address, IPv4: netip.MustParseAddr("127.0.0.9")}
	conn := converse(t, made(t, o), target, "127.0.0.9")
	if local := conn.LocalAddr().String(); local != "127.0.0.9:0" {
		t.Errorf("the local end is %s", local)
	}
	header := headers()[0]
	from, to, ok := header.TCPAddrs()
	if !ok || header.Version != 2 || header.Command != proxyproto.PROXY || header.TransportProtocol != proxyproto.TCPv4 ||
		from.String() != "127.0.0.9:0" || to.String() != target {
		t.Errorf("header %+v", header)
	}
	if e := failed(t, dialling(t, o, "[::1]:25"), SourceAddress); !errors.Is(e, ErrFamily) {
		t.Error(e)
	}
	conn, err := made(t, o).Dial(t.Context(), "tcp", closed(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("a target that nobody reached answers")
	}
}

func TestHeaderOverIPv6(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go func() {
		_ = writeHeader(near, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddrPort("[2001:db8::2]:25"))
	}()
	header, err := proxyproto.Read(bufio.NewReader(far))
	if err != nil || header.TransportProtocol != proxyproto.TCPv6 || header.SourceAddr.String() != "[2001:db8::1]:0" ||
		header.DestinationAddr.String() != "[2001:db8::2]:25" {
		t.Errorf("%+v, %v", header, err)
	}
}

func TestProxyIsNotThere(t *testing.T) {
	for _, protocol := range []Protocol{SOCKS5, PROXYv2} {
		o := Options{Protocol: protocol, Address: closed(t), IPv4: netip.MustParseAddr("127.0.0.9")}
		if e := failed(t, dialling(t, o, "127.0.0.1:25"), Connect); !errors.Is(e, syscall.ECONNREFUSED) {
			t.Error(e)
		}
	}
}

func TestTargetIsNotThere(t *testing.T) {
	o := Options{Address: serve(t, (&socksServer{}).handle)}
	if e := failed(t, dialling(t, o, closed(t)), Target); !errors.Is(e, syscall.ECONNREFUSED) || e.Code != 5 {
		t.Error(e)
	}
}

// scripted says answers one after the other, each after one read, and then
// keeps silent or closes.
func scripted(t testing.TB, silent bool, answers ...string) string {
	return serve(t, func(conn net.Conn) {
		buffer := make([]byte, 1024)
		for _, answer := range answers {
			if _, err := conn.Read(buffer); err != nil {
				return
			}
			_, _ = io.WriteString(conn, answer)
		}
		if silent {
			_, _ = io.Copy(io.Discard, conn)
		}
	})
}

func TestAnswersOfEveryKind(t *testing.T) {
	const welcome = "\x05\x00"
	for name, test := range map[string]struct {
		answers []string
		step    Step
		cause   error
	}{
		"closes":                {nil, Greeting, nil},
		"SMTP":                  {[]string{"220 mx ESMTP\r\n"}, Greeting, ErrProtocol},
		"SOCKS4":                {[]string{"\x00\x5a"}, Greeting, ErrProtocol},
		"half a greeting":       {[]string{"\x05"}, Greeting, io.ErrUnexpectedEOF},
		"method not offered":    {[]string{"\x05\x02"}, Greeting, ErrProtocol},
		"GSSAPI":                {[]string{"\x05\x01"}, Greeting, ErrProtocol},
		"no method":             {[]string{"\x05\xff"}, Greeting, ErrMethod},
		"closes on request":     {[]string{welcome}, Request, nil},
		"version":               {[]string{welcome, "\x04\x00\x00\x01"}, Request, ErrProtocol},
		"general failure":       {[]string{welcome, "\x05\x01"}, Target, ErrRefused},
		"not allowed":           {[]string{welcome, "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"}, Request, ErrRefused},
		"network unreachable":   {[]string{welcome, "\x05\x03"}, Target, syscall.ENETUNREACH},
		"host unreachable":      {[]string{welcome, "\x05\x04"}, Target, syscall.EHOSTUNREACH},
		"connection refused":    {[]string{welcome, "\x05\x05"}, Target, syscall.ECONNREFUSED},
		"TTL expired":           {[]string{welcome, "\x05\x06"}, Target, syscall.ETIMEDOUT},
		"no CONNECT":            {[]string{welcome, "\x05\x07"}, Request, ErrRefused},
		"no IPv4":               {[]string{welcome, "\x05\x08"}, Request, ErrRefused},
		"unknown code":          {[]string{welcome, "\x05\x99"}, Request, ErrProtocol},
		"unknown address type":  {[]string{welcome, "\x05\x00\x00\x02\x00\x00"}, Request, ErrProtocol},
		"half an address":       {[]string{welcome, "\x05\x00\x00\x01\x7f\x00"}, Request, io.ErrUnexpectedEOF},
		"name without an end":   {[]string{welcome, "\x05\x00\x00\x03\xffproxy"}, Request, io.ErrUnexpectedEOF},
		"success without a end": {[]string{welcome, "\x05\x00"}, Request, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := failed(t, dialling(t, Options{Address: scripted(t, false, test.answers...)}, "127.0.0.1:25"), test.step)
			if test.cause != nil && !errors.Is(e, test.cause) {
				t.Errorf("%v, want %v", e, test.cause)
			}
		})
	}
}

// A proxy may tell its address as a name, or not at all, and the target may
// speak in the same packet.
func TestBoundAddress(t *testing.T) {
	for name, test := range map[string]struct{ reply, local string }{
		"address":     {"\x05\x00\x00\x01\xc0\x00\x02\x07\x12\x34", "192.0.2.7:4660"},
		"name":        {"\x05\x00\x00\x03\x05proxy\x12\x34", "192.0.2.1:0"},
		"none":        {"\x05\x00\x00\x01\x00\x00\x00\x00\x12\x34", "192.0.2.1:0"},
		"IPv6":        {"\x05\x00\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x12\x34", "[2001:db8::7]:4660"},
		"mapped IPv4": {"\x05\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x07\x12\x34", "192.0.2.7:4660"},
	} {
		t.Run(name, func(t *testing.T) {
			p := made(t, Options{Address: scripted(t, false, "\x05\x00", test.reply+"220 hello\r\n"), IPv4: netip.MustParseAddr("192.0.2.1")})
			conn, err := p.Dial(t.Context(), "tcp", "127.0.0.1:25")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got := conn.LocalAddr().String(); got != test.local {
				t.Errorf("local end %s", got)
			}
			if greeting, err := io.ReadAll(conn); err != nil || string(greeting) != "220 hello\r\n" {
				t.Errorf("greeting %q, %v", greeting, err)
			}
		})
	}
}

// A silent proxy is the source's fault until it was asked for the target, and
// the target's from then on.
func TestSilence(t *testing.T) {
	for step, o := range map[Step]Options{
		Greeting: {Address: scripted(t, true), ReachTimeout: 20 * time.Millisecond},
		Target:   {Address: scripted(t, true, "\x05\x00"), ReachTimeout: time.Hour},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := made(t, o).Dial(ctx, "tcp", "127.0.0.1:25")
		cancel()
		if e := failed(t, err, step); !errors.Is(e, syscall.ETIMEDOUT) {
			t.Error(e)
		}
	}
}

func TestCancelled(t *testing.T) {
	gone := errors.New("the caller is gone")
	for name, address := range map[string]string{
		"before":     closed(t),
		"greeting":   scripted(t, true),
		"connecting": scripted(t, true, "\x05\x00"),
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		if name == "before" {
			cancel(gone)
		} else {
			time.AfterFunc(20*time.Millisecond, func() { cancel(gone) })
		}
		if _, err := made(t, Options{Address: address}).Dial(ctx, "tcp", "127.0.0.1:25"); !errors.Is(err, gone) {
			t.Errorf("%s: %v", name, err)
		}
		cancel(nil)
	}
}

func TestTargetsThatAreNone(t *testing.T) {
	p := made(t, Options{Address: closed(t)})
	for _, target := range [][2]string{{"udp", "127.0.0.1:25"}, {"tcp", "mx.example.com:25"}, {"tcp", "127.0.0.1"}} {
		_, err := p.Dial(t.Context(), target[0], target[1])
		failed(t, err, Target)
	}
}

func TestWrongOptions(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for name, o := range map[string]Options{
		"address":         {Address: "proxy"},
		"port":            {Address: "proxy:"},
		"protocol":        {Protocol: 7, Address: "proxy:1080"},
		"families":        {Address: "proxy:1080", IPv4: six},
		"families 6":      {Address: "proxy:1080", IPv6: four},
		"header source":   {Protocol: PROXYv2, Address: "proxy:1080"},
		"header password": {Protocol: PROXYv2, Address: "proxy:1080", IPv4: four, Username: "jane", Password: "hunter2"},
		"bind source":     {Address: "proxy:1080", Bind: true},
		"no password":     {Address: "proxy:1080", Username: "jane"},
		"no user name":    {Address: "proxy:1080", Password: "hunter2"},
		"long password":   {Address: "proxy:1080", Username: "jane", Password: strings.Repeat("hunter2", 40)},
	} {
		if _, err := New(o); !errors.Is(err, ErrOptions) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	p := made(t, Options{Address: "proxy.example:1080", Username: "jane", Password: "hunter2"})
	around := struct{ inner *Proxy }{p}
	inside := struct{ inner Proxy }{*p}
	var all strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&all, verb+verb+verb+"\n", p, around, inside)
	}
	for _, secret := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), "jane"} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("%s in %s", secret, all.String())
		}
	}
	if p.String() != "SOCKS5 proxy.example:1080" {
		t.Error(p)
	}
}

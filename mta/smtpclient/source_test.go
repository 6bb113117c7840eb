package smtpclient

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/smtpclient/proxy"
)

// forwarder takes a PROXY header and connects to where it says.
func forwarder(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		near, err := listener.Accept()
		if err != nil {
			return
		}
		defer near.Close()
		forward(t, near)
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func forward(t *testing.T, near net.Conn) {
	header := make([]byte, 28) // version 2 with two IPv4 addresses and ports
	if _, err := io.ReadFull(near, header); err != nil || !bytes.HasPrefix(header, []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11")) {
		t.Errorf("header % x, %v", header, err)
		return
	}
	from, _ := netip.AddrFromSlice(header[16:20])
	to, _ := netip.AddrFromSlice(header[20:24])
	port := uint16(header[26])<<8 | uint16(header[27])
	far, err := (&net.Dialer{}).DialTCP(context.Background(), "tcp", netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, port))
	if err != nil {
		t.Error(err)
		return
	}
	defer far.Close()
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = near.(*net.TCPConn).ReadFrom(far)
		_ = near.Close()
	}()
	_, _ = far.ReadFrom(near)
	_ = far.Close()
	<-back
}

func TestDialThroughProxy(t *testing.T) {
	server, addr := testmx.Start(t, testmx.Options{})
	through, err := proxy.New(proxy.Options{Protocol: proxy.PROXYv2, Address: forwarder(t), IPv4: netip.MustParseAddr("127.0.0.9")})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, addr, Options{Dial: through.Dial})
	send(t, c, transactionTo(t, "a@one.example"))
	if got := server.Messages()[0].Remote.Addr().String(); got != "127.0.0.9" || c.LocalAddr().Addr().String() != got || c.RemoteAddr() != addr {
		t.Errorf("from %s, %v to %v", got, c.LocalAddr(), c.RemoteAddr())
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDialThroughProxyThatIsNotThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	through, err := proxy.New(proxy.Options{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	_, addr := testmx.Start(t, testmx.Options{})
	_, err = tryDial(t, addr, Options{Dial: through.Dial})
	if e := failure(t, err, Connect); e.Scope != mail.ScopeSession || !errors.Is(e, ErrSource) || !errors.Is(e, syscall.ECONNREFUSED) {
		t.Errorf("%v, scope %v", e, e.Scope)
	}
}

// blame is an error of a dialer that knows whose fault it is.
type blame bool

func (blame) Error() string       { return "refused" }
func (b blame) SourceFault() bool { return bool(b) }

func TestWhoseFault(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		source bool
		scope  mail.Scope
	}{
		"proxy":               {blame(true), true, mail.ScopeSession},
		"target behind it":    {blame(false), false, mail.ScopeSite},
		"refused":             {callError("connect", syscall.ECONNREFUSED), false, mail.ScopeSite},
		"firewall":            {callError("connect", syscall.EACCES), false, mail.ScopeSite},
		"out of ports":        {callError("connect", syscall.EADDRNOTAVAIL), true, mail.ScopeSession},
		"not our address":     {callError("bind", syscall.EADDRNOTAVAIL), true, mail.ScopeSession},
		"may not bind":        {callError("bind", syscall.EACCES), true, mail.ScopeSession},
		"out of files":        {callError("socket", syscall.EMFILE), false, mail.ScopeSession},
		"out of memory":       {callError("bind", syscall.ENOBUFS), false, mail.ScopeSession},
		"anything unheard of": {errors.New("what"), false, mail.ScopeSite},
	} {
		_, err := tryDial(t, netip.MustParseAddrPort("192.0.2.1:25"), Options{
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, test.err },
		})
		if e := failure(t, err, Connect); errors.Is(e, ErrSource) != test.source || e.Scope != test.scope {
			t.Errorf("%s: %v, scope %v", name, e, e.Scope)
		}
	}
}

// callError is one as the net package makes them.
func callError(call string, errno syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, errno)}
}

func TestDialerIsBoundByConnect(t *testing.T) {
	_, err := tryDial(t, netip.MustParseAddrPort("192.0.2.1:25"), Options{
		Timeouts: Timeouts{Connect: 10 * time.Millisecond},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if network != "tcp" || address != "192.0.2.1:25" {
				t.Errorf("%s %s", network, address)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	if e := failure(t, err, Connect); e.Scope != mail.ScopeSite {
		t.Errorf("%+v", e)
	}
}

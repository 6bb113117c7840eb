package limit_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/tracking/limit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func prefixes(s ...string) (list limit.Networks) {
	for _, p := range s {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}

// TestRate proves the burst, the pace behind it, what is said of the wait, and
// that a refused request costs nothing.
func TestRate(t *testing.T) {
	r := limit.NewRate(limit.RateOptions{PerSecond: 10, Burst: 5})
	now, reader := time.Unix(1000, 0), addr("192.0.2.1")
	for i := range 5 {
		if wait := r.Allow(reader, now); wait != 0 {
			t.Fatalf("request %d of the burst waits %v", i, wait)
		}
	}
	for range 3 {
		if wait := r.Allow(reader, now); wait != 100*time.Millisecond {
			t.Errorf("waits %v", wait)
		}
	}
	if wait := r.Allow(addr("192.0.2.2"), now); wait != 0 {
		t.Errorf("another client waits %v", wait)
	}
	now = now.Add(100 * time.Millisecond)
	if r.Allow(reader, now) != 0 || r.Allow(reader, now) == 0 {
		t.Error("not one request after a tenth of a second")
	}
	now = now.Add(time.Hour)
	allowed := 0
	for r.Allow(reader, now) == 0 {
		allowed++
	}
	if allowed != 5 {
		t.Errorf("%d at once after an hour", allowed)
	}
	now = now.Add(-2 * time.Hour) // the clock was set back
	if wait := r.Allow(addr("192.0.2.3"), now); wait != 0 {
		t.Errorf("a client waits %v in an earlier time", wait)
	}
}

func TestRateOfNobody(t *testing.T) {
	var none *limit.Rate
	if limit.NewRate(limit.RateOptions{Burst: 5}) != nil || none.Allow(addr("192.0.2.1"), time.Now()) != 0 || none.Known() != 0 {
		t.Error("no limit limits")
	}
	r := limit.NewRate(limit.RateOptions{PerSecond: 1, Burst: 1, Exempt: prefixes("10.0.0.0/8", "2001:db8::/32")})
	for _, free := range []netip.Addr{{}, addr("10.1.2.3"), addr("::ffff:10.1.2.3"), addr("2001:db8:5::1")} {
		for range 3 {
			if wait := r.Allow(free, time.Unix(0, 0)); wait != 0 {
				t.Errorf("%v waits %v", free, wait)
			}
		}
	}
}

// TestClients proves what counts as one client.
func TestClients(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		if same := limit.Client(addr(test.a)) == limit.Client(addr(test.b)); same != test.same {
			t.Errorf("%s and %s: %v", test.a, test.b, same)
		}
	}
	if limit.Client(netip.Addr{}).IsValid() {
		t.Error("nobody became somebody")
	}
}

// TestMemory proves that clients are forgotten when nothing counts any more,
// and that their number is bounded: who is one too many is let in.
func TestMemory(t *testing.T) {
	r := limit.NewRate(limit.RateOptions{PerSecond: 1, Burst: 2, Clients: 640})
	now := time.Unix(1000, 0)
	client := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range 100_000 {
		if wait := r.Allow(client(i), now); wait != 0 {
			t.Fatalf("client %d waits %v", i, wait)
		}
	}
	if n := r.Known(); n == 0 || n > 640 {
		t.Errorf("%d clients are known", n)
	}
	if r.Allow(client(0), now); r.Allow(client(0), now) == 0 {
		t.Error("the first client's requests were forgotten in the flood")
	}
	now = now.Add(time.Minute)
	for i := range 64 * 8 {
		r.Allow(client(1<<20+i), now)
	}
	if n := r.Known(); n > 64*8 {
		t.Errorf("%d clients are known a minute later", n)
	}
}

func BenchmarkRate(b *testing.B) {
	r := limit.NewRate(limit.RateOptions{PerSecond: 200, Burst: 2000, Exempt: prefixes("127.0.0.0/8", "::1/128")})
	var n atomic.Uint32
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1) % 50_000
			r.Allow(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), time.Now())
		}
	})
}

// TestConnections proves over real sockets that one too many is closed at
// once, and that a place is free again when another one closes.
func TestConnections(t *testing.T) {
	refused := make(chan struct{}, 10)
	connections := limit.NewConnections(2, nil, func() { refused <- struct{}{} })
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := connections.Listen(inner)
	accepted := make(chan net.Conn, 10)
	go func() {
		defer close(accepted)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := dial(), dial()
	first, second := <-accepted, <-accepted
	c := dial()
	<-refused
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the third one is served")
	}
	first.Close()
	first.Close() // closing twice frees one place
	d := dial()
	third := <-accepted
	e := dial()
	<-refused
	for _, c := range []net.Conn{a, b, c, d, e, second, third} {
		c.Close()
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	if _, open := <-accepted; open {
		t.Error("accepted what was refused")
	}
}

func TestConnectionsOfNobody(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if limit.NewConnections(0, nil, nil).Listen(inner) != inner {
		t.Error("no limit stands before the listener")
	}
	exempt := limit.NewConnections(1, prefixes("127.0.0.0/8"), func() { t.Error("refused an exempt client") }).Listen(inner)
	for i := range 3 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		served, err := exempt.Accept()
		if err != nil {
			t.Fatal(fmt.Sprint(i), err)
		}
		defer served.Close()
	}
	exempt.Close()
	if _, err := exempt.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkOneClient is a flood from one address, as that of a bench is.
func BenchmarkOneClient(b *testing.B) {
	r := limit.NewRate(limit.RateOptions{PerSecond: 1_000_000_000, Burst: 1_000_000, Exempt: prefixes("10.0.0.0/8")})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Allow(netip.AddrFrom4([4]byte{192, 0, 2, 1}), time.Now())
		}
	})
}

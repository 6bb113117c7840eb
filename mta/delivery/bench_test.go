package delivery

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route"
)

// BenchmarkEngine measures delivery alone: store, network and stages are
// fakes that do next to nothing. CPU is that of the process per message.
func BenchmarkEngine(b *testing.B) {
	for _, domains := range []int{1, 20, 2000} {
		b.Run(fmt.Sprintf("domains=%d", domains), func(b *testing.B) {
			bench := newWorkbench()
			bench.world.forget = true
			body := strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", 160)
			for i := range b.N {
				bench.store.accept(letter{tenant: "t", stream: "s", body: body}, fmt.Sprintf("r@d%d.example", i%domains))
			}
			before := cpu()
			b.ResetTimer()
			bench.start(b)
			for bench.store.left() > 0 {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/msg")
			bench.stop()
			if n := bench.store.counts()[event.Delivered]; n != b.N {
				b.Fatalf("%d delivered of %d", n, b.N)
			}
		})
	}
}

// BenchmarkWire adds the client, sockets and a server in the same process.
func BenchmarkWire(b *testing.B) {
	server := testmx.New(testmx.Options{})
	addr, err := server.Listen()
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	bench := newWorkbench()
	bench.Router, bench.Dialer = oneHost{addr}, SMTP{}
	body := strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", 160)
	for i := range b.N {
		bench.store.accept(letter{tenant: "t", stream: "s", body: body}, fmt.Sprintf("r%d@d.example", i))
	}
	before := cpu()
	b.ResetTimer()
	bench.start(b)
	for bench.store.left() > 0 {
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/msg")
	bench.stop()
}

// oneHost routes everything to one address.
type oneHost struct{ addr netip.AddrPort }

func (h oneHost) Route(context.Context, mail.Domain) (*route.Route, error) {
	hosts := []route.Host{{Name: "mx.test", Addrs: []netip.AddrPort{h.addr}}}
	return &route.Route{Site: "one", Hosts: hosts}, nil
}

func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

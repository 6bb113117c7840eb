package route_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route"
)

// impatient forgets at once, so that each look-up asks again.
func impatient(o *route.Options) {
	o.Cache.MinTTL, o.Cache.MaxTTL, o.Cache.NegativeTTL, o.Cache.FailureTTL = 1, 1, 1, 1
}

func TestAnswersAreRemembered(t *testing.T) {
	server := startDNS(t, "a.example. 0 IN MX 1 mx.a.example.", "mx.a.example. 60 IN A 198.51.100.1")
	router := newRouter(t, server, nil)
	for range 5 {
		mustRoute(t, router, "a.example")
		wantFailure(t, router, "gone.example", route.ErrNoDomain, 550, "5.1.2")
	}
	if n := server.Total(); n != 4 {
		t.Errorf("%d queries, want MX, A and AAAA once and one MX that does not exist", n)
	}
	if stats := router.Stats(); stats.Queries != 4 || stats.Entries != 4 || stats.Hits != 16 {
		t.Errorf("stats %+v", stats)
	}
}

func TestFailuresAreRememberedShortly(t *testing.T) {
	server := startDNS(t)
	server.Fault("broken.example", testmx.DNSFault{Rcode: dns.RcodeServerFailure})
	router := newRouter(t, server, nil)
	wantFailure(t, router, "broken.example", route.ErrResolver, 451, "4.4.3")
	asked := server.Total()
	wantFailure(t, router, "broken.example", route.ErrResolver, 451, "4.4.3")
	if server.Total() != asked {
		t.Error("the failure was not remembered")
	}
}

func TestChangesAreSeen(t *testing.T) {
	server := startDNS(t, "a.example. 0 IN A 198.51.100.1")
	router := newRouter(t, server, impatient)
	before := mustRoute(t, router, "a.example").Hosts[0].Addrs[0]
	if err := server.Replace("a.example. 0 IN A 198.51.100.2"); err != nil {
		t.Fatal(err)
	}
	if after := mustRoute(t, router, "a.example").Hosts[0].Addrs[0]; after == before {
		t.Errorf("still %v", after)
	}
}

func TestStaleAnswersServeWhileDNSIsDown(t *testing.T) {
	server := startDNS(t, "a.example. 0 IN A 198.51.100.1")
	router := newRouter(t, server, impatient)
	mustRoute(t, router, "a.example")
	for _, fault := range []testmx.DNSFault{{Rcode: dns.RcodeServerFailure}, {Silent: true}} {
		server.Fault(".", fault)
		if found := mustRoute(t, router, "a.example"); found.Hosts[0].Addrs[0].String() != "198.51.100.1:25" {
			t.Errorf("stale route %v", hosts(found))
		}
	}
	if router.Stats().Stale == 0 {
		t.Error("no stale answer was counted")
	}
	server.Heal(".")
	server.Remove("a.example")
	wantFailure(t, router, "a.example", route.ErrNoDomain, 550, "5.1.2")
}

func TestLookupsOfOneDomainAreOne(t *testing.T) {
	server := startDNS(t, "a.example. 60 IN A 198.51.100.1")
	server.Fault("a.example", testmx.DNSFault{Silent: true})
	router := newRouter(t, server, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for i := range 20 {
		callers.Go(func() {
			if i == 0 {
				// The first one leaves; the others must not suffer.
				_, _ = router.Route(ctx, "a.example")
				return
			}
			if _, err := router.Route(t.Context(), "a.example"); err != nil {
				t.Error(err)
			}
		})
	}
	for server.Total() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	server.Heal("a.example")
	callers.Wait()
	// One query goes unanswered and is repeated; A and AAAA follow.
	if n := server.Queries("a.example", dns.TypeMX); n > 2 {
		t.Errorf("%d MX queries for 20 callers", n)
	}
}

func TestCloseEndsLookups(t *testing.T) {
	server := startDNS(t)
	server.Fault(".", testmx.DNSFault{Silent: true})
	router, err := route.New(route.Options{
		Resolver: []string{server.Addr()},
		Timeouts: route.Timeouts{Query: time.Hour, Total: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	var caller sync.WaitGroup
	caller.Go(func() {
		if _, err := router.Route(t.Context(), "a.example"); err == nil {
			t.Error("no error from a closed router")
		}
	})
	for server.Total() == 0 {
		time.Sleep(time.Millisecond)
	}
	router.Close()
	caller.Wait()
	wantFailure(t, router, "b.example", route.ErrResolver, 451, "4.4.3")
}

func TestCacheIsBounded(t *testing.T) {
	server := startDNS(t, "*.example. 60 IN A 198.51.100.1")
	router := newRouter(t, server, func(o *route.Options) { o.Cache.Entries = 10 })
	for i := range 30 {
		mustRoute(t, router, fmt.Sprintf("d%d.example", i))
	}
	if n := router.Stats().Entries; n != 10 {
		t.Errorf("%d entries, want 10", n)
	}
}

func TestTruncatedAnswersComeOverTCP(t *testing.T) {
	server := startDNS(t, "a.example. 60 IN A 198.51.100.1")
	server.Fault("a.example", testmx.DNSFault{Truncate: true})
	for i := range 60 {
		record := fmt.Sprintf("large.example. 60 IN MX %d a-rather-long-host-name-number-%d.example.", i, i)
		if err := server.Add(record); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Add("a-rather-long-host-name-number-0.example. 60 IN A 198.51.100.2"); err != nil {
		t.Fatal(err)
	}
	router := newRouter(t, server, nil)
	mustRoute(t, router, "a.example")
	if found := mustRoute(t, router, "large.example"); found.Hosts[0].Name != "a-rather-long-host-name-number-0.example" {
		t.Error(hosts(found))
	}
	if n := server.Queries("large.example", dns.TypeMX); n != 2 {
		t.Errorf("%d queries, want one over UDP and one over TCP", n)
	}
}

func TestServerWithoutEDNS(t *testing.T) {
	server := startDNS(t, "a.example. 60 IN A 198.51.100.1")
	server.Fault("a.example", testmx.DNSFault{WithoutEDNS: true})
	mustRoute(t, newRouter(t, server, nil), "a.example")
}

func TestNextServer(t *testing.T) {
	broken, good := startDNS(t), startDNS(t, "a.example. 60 IN A 198.51.100.1")
	for _, fault := range []testmx.DNSFault{{Rcode: dns.RcodeServerFailure}, {Rcode: dns.RcodeRefused}, {Silent: true}} {
		broken.Fault(".", fault)
		router := newRouter(t, good, func(o *route.Options) { o.Resolver = []string{broken.Addr(), good.Addr()} })
		mustRoute(t, router, "a.example")
	}
}

func TestAliasLeftToUs(t *testing.T) {
	server := startDNS(t, "target.example. 60 IN A 198.51.100.1")
	reply := new(dns.Msg).SetQuestion("alias.example.", dns.TypeA)
	reply.Response = true
	alias, err := dns.NewRR("alias.example. 60 IN CNAME target.example.")
	if err != nil {
		t.Fatal(err)
	}
	reply.Answer = []dns.RR{alias}
	raw, err := reply.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Add("a.example. 60 IN MX 1 alias.example."); err != nil {
		t.Fatal(err)
	}
	server.Fault("alias.example", testmx.DNSFault{Raw: raw})
	router := newRouter(t, server, func(o *route.Options) { o.Family = route.OnlyIPv4 })
	if got := hosts(mustRoute(t, router, "a.example"))[0]; got != "alias.example/1=198.51.100.1:25" {
		t.Error(got)
	}
}

func FuzzRouteOverTheWire(f *testing.F) {
	message := new(dns.Msg).SetQuestion("a.example.", dns.TypeMX)
	message.Response = true
	for _, record := range []string{"a.example. 1 IN MX 1 b.example.", "a.example. 1 IN CNAME a.example.", "a.example. 1 IN MX 0 .", `a.example. 1 IN MX 9 \000\255.`} {
		rr, err := dns.NewRR(record)
		if err != nil {
			f.Fatal(err)
		}
		message.Answer = append(message.Answer, rr)
	}
	raw, err := message.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{})
	f.Add(make([]byte, 12))
	server, err := testmx.StartDNS()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = server.Close() })
	f.Fuzz(func(t *testing.T, raw []byte) {
		server.Fault(".", testmx.DNSFault{Raw: raw})
		options := route.Options{Resolver: []string{server.Addr()}, Timeouts: route.Timeouts{Query: 20 * time.Millisecond, Total: 50 * time.Millisecond}, Policies: route.Policies{DANE: true}}
		router, err := route.New(options)
		if err != nil {
			t.Fatal(err)
		}
		defer router.Close()
		if found, err := router.Route(t.Context(), mail.Domain("a.example")); err == nil && (len(found.Hosts) == 0 || len(found.Hosts[0].Addrs) == 0) {
			t.Error("a route that leads nowhere")
		}
	})
}

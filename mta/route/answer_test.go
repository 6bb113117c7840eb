package route

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route/dane"
)

func FuzzDigest(f *testing.F) {
	for _, records := range [][]string{
		{"a.example. 1 IN MX 1 b.example.", "a.example. 4294967295 IN MX 2 ."},
		{"a.example. 1 IN CNAME b.example.", "b.example. 1 IN CNAME a.example."},
		{"a.example. 1 IN TLSA 3 1 1 00", "a.example. 1 IN TLSA 255 255 255 ff"},
		{"a.example. 1 IN TXT \"x\" \"y\"", "a.example. 1 IN A 192.0.2.1", "a.example. 1 IN AAAA ::1"},
	} {
		message := new(dns.Msg).SetQuestion("a.example.", dns.TypeMX)
		for _, record := range records {
			rr, err := dns.NewRR(record)
			if err != nil {
				f.Fatal(err)
			}
			message.Answer = append(message.Answer, rr)
		}
		packet, err := message.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		message := new(dns.Msg)
		if message.Unpack(packet) != nil {
			return
		}
		for _, qtype := range []uint16{dns.TypeMX, dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeTLSA, dns.TypeCNAME} {
			q := question{"a.example", qtype}
			if len(message.Question) == 1 {
				q.name = normalName(message.Question[0].Name)
			}
			a, err := digest(q, message)
			if err != nil {
				continue
			}
			for _, e := range selectExchangers(a.exchangers, 16) {
				if parsed, err := mail.ParseDomain(string(e.name)); err != nil || parsed != e.name {
					t.Errorf("host %q is no normal domain", e.name)
				}
			}
			if records := dane.New(a.tlsa, q.name); qtype == dns.TypeTLSA && records.Verify(nil, time.Now()) == nil && records.Authenticates() {
				t.Errorf("no certificate satisfies %v", a.tlsa)
			}
			if a.ttl < 0 {
				t.Errorf("time to live %v", a.ttl)
			}
		}
	})
}

func TestTimesToLive(t *testing.T) {
	bounds := Options{}.withDefaults().Cache
	r := newResolver(nil, Timeouts{}, bounds)
	defer r.close()
	now := time.Now()
	positive := answer{exists: true, exchangers: []exchanger{{"mx.example", 1}}}
	for _, tc := range []struct {
		a     answer
		ttl   time.Duration
		fresh time.Duration
	}{
		{positive, time.Hour, time.Hour},
		{positive, 0, bounds.MinTTL},
		{positive, 1000 * time.Hour, bounds.MaxTTL},
		{answer{}, time.Minute, time.Minute},
		{answer{}, time.Hour, bounds.NegativeTTL},
		{answer{exists: true}, time.Duration(1<<63 - 1), bounds.NegativeTTL},
	} {
		tc.a.ttl = tc.ttl
		e := r.entry(question{}, tc.a, now)
		if got := e.fresh.Sub(now); got != tc.fresh {
			t.Errorf("%+v is fresh for %v, want %v", tc.a, got, tc.fresh)
		}
		if tc.a.exists == e.stale.IsZero() {
			t.Errorf("%+v: stale until %v", tc.a, e.stale)
		}
	}
}

// TestWhoseADCounts: an answer that came over a network may be anybody's.
func TestWhoseADCounts(t *testing.T) {
	for text, trusted := range map[string]bool{
		"127.0.0.1": true, "127.0.0.53:5353": true, "::1": true, "[::1]:53": true, "::ffff:127.0.0.1": true,
		"192.0.2.1": false, "10.0.0.1:53": false, "2001:db8::1": false,
	} {
		servers, err := Options{Resolver: []string{text}}.servers()
		if err != nil || servers[0].trusted != trusted {
			t.Errorf("%s: %+v, %v", text, servers, err)
		}
		servers, err = Options{Resolver: []string{text}, Policies: Policies{TrustResolver: true}}.servers()
		if err != nil || !servers[0].trusted {
			t.Errorf("%s with TrustResolver: %+v, %v", text, servers, err)
		}
	}
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte("nameserver 127.0.0.1\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	servers, err := systemServers(path)
	if err != nil || len(servers) != 3 || !servers[0].trusted || servers[1].trusted || servers[2].trusted {
		t.Errorf("%+v, %v", servers, err)
	}
}

// TestAuthenticity: an answer is secure when a trusted server says so of every
// step to it.
func TestAuthenticity(t *testing.T) {
	dnsServer, err := testmx.StartDNS()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dnsServer.Close() }()
	if err := dnsServer.Add("target.example. 60 IN A 198.51.100.1"); err != nil {
		t.Fatal(err)
	}
	dnsServer.Sign("example")
	ask := func(name string, trusted bool) answer {
		r := newResolver([]server{{dnsServer.Addr(), trusted}}, Options{}.withDefaults().Timeouts, Options{}.withDefaults().Cache)
		defer r.close()
		a, err := r.ask(t.Context(), question{name, dns.TypeA})
		if err != nil || len(a.addrs) != 1 || a.owner != "target.example" {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		return a
	}
	if !ask("target.example", true).secure || ask("target.example", false).secure {
		t.Error("the AD bit of the wrong server counts")
	}
	// A server that leaves aliases to us: each of two answers must be secure.
	for _, authentic := range []bool{true, false} {
		reply := new(dns.Msg).SetQuestion("alias.example.", dns.TypeA)
		reply.Response, reply.AuthenticatedData = true, authentic
		alias, err := dns.NewRR("alias.example. 60 IN CNAME target.example.")
		if err != nil {
			t.Fatal(err)
		}
		reply.Answer = []dns.RR{alias}
		raw, err := reply.Pack()
		if err != nil {
			t.Fatal(err)
		}
		dnsServer.Fault("alias.example", testmx.DNSFault{Raw: raw})
		if got := ask("alias.example", true).secure; got != authentic {
			t.Errorf("alias that is secure: %t, answer: %t", authentic, got)
		}
	}
}

package route

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/mail"
)

func FuzzDigest(f *testing.F) {
	for _, records := range [][]string{
		{"a.example. 1 IN MX 1 b.example.", "a.example. 4294967295 IN MX 2 ."},
		{"a.example. 1 IN CNAME b.example.", "b.example. 1 IN CNAME a.example."},
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
		for _, qtype := range []uint16{dns.TypeMX, dns.TypeA, dns.TypeAAAA, dns.TypeTXT} {
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

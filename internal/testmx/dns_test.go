package testmx_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/testmx"
)

func startDNS(t *testing.T, records ...string) *testmx.DNS {
	t.Helper()
	server, err := testmx.StartDNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := server.Add(records...); err != nil {
		t.Fatal(err)
	}
	return server
}

func exchange(t *testing.T, server *testmx.DNS, network, name string, qtype uint16) (*dns.Msg, error) {
	t.Helper()
	client := dns.Client{Net: network, Timeout: time.Second}
	reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, qtype), server.Addr())
	return reply, err
}

func mustExchange(t *testing.T, server *testmx.DNS, network, name string, qtype uint16) *dns.Msg {
	t.Helper()
	reply, err := exchange(t, server, network, name, qtype)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestDNSAnswers(t *testing.T) {
	server := startDNS(t,
		"a.example. 60 IN MX 10 mx.a.example.", "mx.a.example. 60 IN A 192.0.2.1", "mx.a.example. 60 IN AAAA 2001:db8::1",
		"b.example. 60 IN CNAME a.example.", `a.example. 60 IN TXT "one" "two"`,
		"_25._tcp.mx.a.example. 60 IN TLSA 3 1 1 00ff", "*.wild.example. 60 IN A 192.0.2.2",
	)
	for _, tc := range []struct {
		name    string
		qtype   uint16
		rcode   int
		answers int
	}{
		{"a.example.", dns.TypeMX, dns.RcodeSuccess, 1},
		{"A.Example.", dns.TypeMX, dns.RcodeSuccess, 1},
		{"b.example.", dns.TypeMX, dns.RcodeSuccess, 2},
		{"a.example.", dns.TypeA, dns.RcodeSuccess, 0},
		{"a.example.", dns.TypeTXT, dns.RcodeSuccess, 1},
		{"_25._tcp.mx.a.example.", dns.TypeTLSA, dns.RcodeSuccess, 1},
		{"_tcp.mx.a.example.", dns.TypeA, dns.RcodeSuccess, 0},
		{"x.wild.example.", dns.TypeA, dns.RcodeSuccess, 1},
		{"none.example.", dns.TypeMX, dns.RcodeNameError, 0},
	} {
		for _, network := range []string{"udp", "tcp"} {
			reply := mustExchange(t, server, network, tc.name, tc.qtype)
			if reply.Rcode != tc.rcode || len(reply.Answer) != tc.answers {
				t.Errorf("%s %s over %s: %v", tc.name, dns.TypeToString[tc.qtype], network, reply)
			}
		}
	}
	if n := server.Queries("a.example", dns.TypeMX); n != 4 {
		t.Errorf("%d MX queries for a.example, want 4", n)
	}
}

func TestDNSFaults(t *testing.T) {
	server := startDNS(t, "a.example. 60 IN A 192.0.2.1")
	server.Fault("a.example", testmx.DNSFault{Rcode: dns.RcodeServerFailure})
	if reply := mustExchange(t, server, "udp", "a.example.", dns.TypeA); reply.Rcode != dns.RcodeServerFailure {
		t.Error(reply)
	}
	server.Fault("a.example", testmx.DNSFault{Truncate: true})
	if reply := mustExchange(t, server, "udp", "a.example.", dns.TypeA); !reply.Truncated || len(reply.Answer) != 0 {
		t.Error(reply)
	}
	if reply := mustExchange(t, server, "tcp", "a.example.", dns.TypeA); reply.Truncated || len(reply.Answer) != 1 {
		t.Error(reply)
	}
	server.Fault("a.example", testmx.DNSFault{Silent: true})
	var timeout net.Error
	if _, err := exchange(t, server, "udp", "a.example.", dns.TypeA); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%v from a silent server, want a time-out", err)
	}
	server.Fault("a.example", testmx.DNSFault{Raw: []byte{0, 0, 0x80}})
	if _, err := exchange(t, server, "udp", "a.example.", dns.TypeA); err == nil {
		t.Error("three octets pass for an answer")
	}
	server.Heal("a.example")
	if reply := mustExchange(t, server, "udp", "a.example.", dns.TypeA); len(reply.Answer) != 1 {
		t.Error(reply)
	}
	if err := server.Replace("a.example. 60 IN A 192.0.2.7", "a.example. 60 IN A 192.0.2.8"); err != nil {
		t.Fatal(err)
	}
	if reply := mustExchange(t, server, "udp", "a.example.", dns.TypeA); len(reply.Answer) != 2 {
		t.Error(reply)
	}
	if err := server.Add("nonsense"); err == nil {
		t.Error("nonsense is published")
	}
}

func TestDNSAuthenticity(t *testing.T) {
	server := startDNS(t,
		"a.signed.example. 60 IN A 192.0.2.1", "plain.example. 60 IN A 192.0.2.2",
		"in.signed.example. 60 IN CNAME a.signed.example.", "out.signed.example. 60 IN CNAME plain.example.",
		"b.hole.signed.example. 60 IN A 192.0.2.3")
	server.Sign("signed.example")
	server.Unsign("hole.signed.example")
	for name, want := range map[string]bool{
		"a.signed.example.": true, "in.signed.example.": true, "none.signed.example.": true,
		"plain.example.": false, "out.signed.example.": false, "b.hole.signed.example.": false,
	} {
		query := new(dns.Msg).SetQuestion(name, dns.TypeA)
		query.AuthenticatedData = true
		reply, err := dns.Exchange(query, server.Addr())
		if err != nil || reply.AuthenticatedData != want {
			t.Errorf("%s: AD %v, %v", name, reply, err)
		}
		if reply := mustExchange(t, server, "udp", name, dns.TypeA); reply.AuthenticatedData {
			t.Errorf("%s: AD without being asked", name)
		}
	}
	if reply := mustExchange(t, server, "udp", "out.signed.example.", dns.TypeCNAME); len(reply.Answer) != 1 {
		t.Errorf("CNAME: %v", reply)
	}
}

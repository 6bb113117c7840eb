package testmx

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// DNS is an authoritative name server on a loopback port, over UDP and TCP,
// whose zones and faults can be changed while it runs. Its methods may be
// called from any goroutine.
type DNS struct {
	udp, tcp *dns.Server
	serving  sync.WaitGroup

	mu      sync.Mutex
	records map[string][]dns.RR
	faults  map[string]DNSFault
	signed  map[string]bool
	queries map[dnsQuestion]int
	total   int

	closing  sync.Once
	closeErr error
}

type dnsQuestion struct {
	name  string
	qtype uint16
}

// StartDNS opens the server on a free port of 127.0.0.1. The caller closes it.
func StartDNS() (*DNS, error) {
	packets, stream, err := listenDNS()
	if err != nil {
		return nil, err
	}
	s := &DNS{
		records: make(map[string][]dns.RR),
		faults:  make(map[string]DNSFault),
		signed:  make(map[string]bool),
		queries: make(map[dnsQuestion]int),
	}
	s.udp = s.serve(&dns.Server{PacketConn: packets})
	s.tcp = s.serve(&dns.Server{Listener: stream})
	return s, nil
}

// listenDNS finds one port number that is free for both transports.
func listenDNS() (net.PacketConn, net.Listener, error) {
	var err error
	for range 20 {
		var packets net.PacketConn
		var stream net.Listener
		if packets, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			return nil, nil, fmt.Errorf("fake DNS: %w", err)
		}
		if stream, err = net.Listen("tcp", packets.LocalAddr().String()); err == nil {
			return packets, stream, nil
		}
		_ = packets.Close()
	}
	return nil, nil, fmt.Errorf("fake DNS: no port for UDP and TCP: %w", err)
}

func (s *DNS) serve(server *dns.Server) *dns.Server {
	started := make(chan struct{})
	server.Handler = dns.HandlerFunc(s.answer)
	server.NotifyStartedFunc = func() { close(started) }
	s.serving.Go(func() { _ = server.ActivateAndServe() })
	<-started
	return server
}

// Addr is the server's host:port, for UDP and TCP alike.
func (s *DNS) Addr() string { return s.udp.PacketConn.LocalAddr().String() }

// Close stops the server and waits for its goroutines.
func (s *DNS) Close() error {
	s.closing.Do(func() {
		s.closeErr = errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
		s.serving.Wait()
	})
	return s.closeErr
}

// Add publishes records in the presentation format of RFC 1035, such as
// "example.com. 60 IN MX 10 mx.example.com.". Without a TTL it is 3600 seconds.
// An owner that begins with "*." stands for every name below that has no
// records of its own (RFC 4592).
// Nothing is published when one of them cannot be parsed.
func (s *DNS) Add(records ...string) error {
	parsed := make([]dns.RR, 0, len(records))
	for _, record := range records {
		rr, err := dns.NewRR(record)
		if err != nil {
			return fmt.Errorf("fake DNS: %q: %w", record, err)
		}
		if rr == nil {
			return fmt.Errorf("fake DNS: %q holds no record", record)
		}
		parsed = append(parsed, rr)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rr := range parsed {
		name := canonicalName(rr.Header().Name)
		s.records[name] = append(s.records[name], rr)
	}
	return nil
}

// Replace withdraws all records and faults of every name among records, and
// publishes records, in one step.
func (s *DNS) Replace(records ...string) error {
	for _, record := range records {
		if rr, err := dns.NewRR(record); err == nil && rr != nil {
			s.Remove(rr.Header().Name)
		}
	}
	return s.Add(records...)
}

// Remove withdraws all records and faults of name.
func (s *DNS) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, canonicalName(name))
	delete(s.faults, canonicalName(name))
}

// Sign makes answers authentic (RFC 4035 section 3.2.3) for name and all below
// it, as a validating resolver says of a signed zone: the AD bit is set where
// the query asks for it and every name on the way to the answer is signed.
func (s *DNS) Sign(name string) { s.setSigned(name, true) }

// Unsign takes name and all below it out of the signed zone above.
func (s *DNS) Unsign(name string) { s.setSigned(name, false) }

func (s *DNS) setSigned(name string, signed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signed[canonicalName(name)] = signed
}

// Queries counts what was asked for name and type, such as dns.TypeMX, over
// both transports.
func (s *DNS) Queries(name string, qtype uint16) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries[dnsQuestion{canonicalName(name), qtype}]
}

// Total counts all queries.
func (s *DNS) Total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

func canonicalName(name string) string { return strings.ToLower(dns.Fqdn(name)) }

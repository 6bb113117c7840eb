package testmx

import (
	"net"
	"strings"

	"github.com/miekg/dns"
)

// DNSFault is what the server does wrong for one name; the zero DNSFault is
// nothing.
type DNSFault struct {
	// Rcode is answered with no records, such as dns.RcodeServerFailure.
	Rcode int
	// Silent leaves the query without an answer.
	Silent bool
	// Truncate sets TC over UDP and leaves the records out.
	Truncate bool
	// Raw is sent instead of an answer when it is not nil; its first two octets
	// are replaced with the query's identifier.
	Raw []byte
	// WithoutEDNS refuses queries that carry an OPT record with FORMERR.
	WithoutEDNS bool
}

// Fault sets the fault of name, or of every name for ".", from now on. It
// replaces the earlier one.
func (s *DNS) Fault(name string, fault DNSFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[canonicalName(name)] = fault
}

// Heal takes the fault of name, or that of every name for ".", away.
func (s *DNS) Heal(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults, canonicalName(name))
}

func (s *DNS) answer(w dns.ResponseWriter, query *dns.Msg) {
	if len(query.Question) != 1 {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(query, dns.RcodeFormatError))
		return
	}
	question := query.Question[0]
	fault := s.count(question)
	_, stream := w.RemoteAddr().(*net.TCPAddr)
	switch {
	case fault.Silent:
		return
	case fault.Raw != nil:
		_, _ = w.Write(identify(fault.Raw, query.Id))
	case fault.WithoutEDNS && query.IsEdns0() != nil:
		_ = w.WriteMsg(new(dns.Msg).SetRcode(query, dns.RcodeFormatError))
	case fault.Rcode != 0:
		_ = w.WriteMsg(new(dns.Msg).SetRcode(query, fault.Rcode))
	case fault.Truncate && !stream:
		reply := new(dns.Msg).SetReply(query)
		reply.Truncated = true
		_ = w.WriteMsg(reply)
	default:
		_ = w.WriteMsg(s.reply(query, stream))
	}
}

func identify(raw []byte, id uint16) []byte {
	packet := append([]byte(nil), raw...)
	if len(packet) >= 2 {
		packet[0], packet[1] = byte(id>>8), byte(id)
	}
	return packet
}

func (s *DNS) count(question dns.Question) DNSFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := canonicalName(question.Name)
	s.queries[dnsQuestion{name, question.Qtype}]++
	s.total++
	if fault, ok := s.faults[name]; ok {
		return fault
	}
	return s.faults["."]
}

// reply answers from the zones as a recursive resolver would: aliases are
// followed as far as the zones go.
func (s *DNS) reply(query *dns.Msg, stream bool) *dns.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply := new(dns.Msg).SetReply(query)
	reply.RecursionAvailable = true
	name := canonicalName(query.Question[0].Name)
	authentic := s.authentic(name)
	for range 16 {
		alias := s.collect(reply, name, query.Question[0].Qtype)
		if alias == "" {
			break
		}
		name = alias
		authentic = authentic && s.authentic(name)
	}
	reply.AuthenticatedData = authentic && wantsAD(query)
	if !s.exists(name) {
		reply.Rcode = dns.RcodeNameError
	}
	if !stream {
		reply.Truncate(packetSize(query))
	}
	return reply
}

// authentic reports whether the nearest zone that was said to be signed or not
// is signed.
func (s *DNS) authentic(name string) bool {
	for zone, found := name, true; found && zone != ""; _, zone, found = strings.Cut(zone, ".") {
		if signed, known := s.signed[zone]; known {
			return signed
		}
	}
	return s.signed["."]
}

// wantsAD reports whether the query asks for the AD bit (RFC 6840 section 5.7).
func wantsAD(query *dns.Msg) bool {
	opt := query.IsEdns0()
	return query.AuthenticatedData || opt != nil && opt.Do()
}

func packetSize(query *dns.Msg) int {
	if opt := query.IsEdns0(); opt != nil {
		return int(opt.UDPSize())
	}
	return dns.MinMsgSize
}

// collect adds the records of one name and returns where its alias leads when
// the type asked for is not there.
func (s *DNS) collect(reply *dns.Msg, name string, qtype uint16) string {
	alias := ""
	for _, rr := range s.owned(name) {
		target, isAlias := rr.(*dns.CNAME)
		switch {
		case rr.Header().Rrtype == qtype: // a CNAME asked for is not followed
			reply.Answer = append(reply.Answer, ownedBy(rr, name))
		case isAlias:
			reply.Answer = append(reply.Answer, ownedBy(rr, name))
			alias = canonicalName(target.Target)
		}
	}
	return alias
}

// owned returns the records of name, or those of the nearest wildcard above.
func (s *DNS) owned(name string) []dns.RR {
	if records := s.records[name]; len(records) > 0 {
		return records
	}
	for _, parent, found := strings.Cut(name, "."); found && parent != ""; _, parent, found = strings.Cut(parent, ".") {
		if records := s.records["*."+parent]; len(records) > 0 {
			return records
		}
	}
	return nil
}

// ownedBy copies a record and gives the copy the name that was asked for.
func ownedBy(rr dns.RR, name string) dns.RR {
	copied := dns.Copy(rr)
	copied.Header().Name = name
	return copied
}

// exists reports whether name or anything below it has records (RFC 8020).
func (s *DNS) exists(name string) bool {
	if len(s.owned(name)) > 0 {
		return true
	}
	for other := range s.records {
		if strings.HasSuffix(other, "."+name) {
			return true
		}
	}
	return false
}

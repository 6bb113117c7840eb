package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route/dane"
)

// question is a name, in lower case without its final dot, and a type.
type question struct {
	name  string
	qtype uint16
}

// answer is what one question brought.
type answer struct {
	// exists is false for NXDOMAIN.
	exists     bool
	exchangers []exchanger
	// nullMX holds when the one MX record is the null one (RFC 7505).
	nullMX bool
	// malformed counts MX records whose host is no usable name.
	malformed int
	addrs     []netip.Addr
	texts     []string
	tlsa      []dane.Record
	// isAlias holds where a CNAME record was asked for and is there.
	isAlias bool
	ttl     time.Duration
	// owner is the name that the answer is about, after all aliases.
	owner string
	// secure: a resolver that is trusted says that the answer, each alias on
	// the way included, is authentic (RFC 4033 section 5).
	secure bool
	// stale: the answer is past its time, and no newer one could be had.
	stale bool
	// alias is where the question has to be asked again.
	alias string
}

// exchanger is one MX record.
type exchanger struct {
	name       mail.Domain
	preference uint16
}

func (a answer) empty() bool {
	return len(a.exchangers) == 0 && len(a.addrs) == 0 && len(a.texts) == 0 && len(a.tlsa) == 0 && !a.isAlias &&
		!a.nullMX && a.malformed == 0
}

const (
	// maxRecords of one answer are read; no honest one has more.
	maxRecords = 1000
	maxAliases = 8
)

var errAliasLoop = errors.New("aliases lead in a circle or too far")

// digest reads a reply to q. Whatever the reply holds beside the answer to the
// question is left alone.
func digest(q question, reply *dns.Msg) (answer, error) {
	if len(reply.Answer) > maxRecords {
		return answer{}, fmt.Errorf("%d records in one answer", len(reply.Answer))
	}
	owner, ttl, err := followAliases(q, reply.Answer)
	if err != nil {
		return answer{}, err
	}
	a := answer{exists: reply.Rcode != dns.RcodeNameError, ttl: ttl, owner: owner}
	for _, rr := range reply.Answer {
		header := rr.Header()
		if header.Class != dns.ClassINET || header.Rrtype != q.qtype || normalName(header.Name) != owner {
			continue
		}
		a.take(rr)
		a.ttl = min(a.ttl, seconds(header.Ttl))
	}
	if len(a.exchangers) > 0 || a.malformed > 0 {
		// RFC 7505 section 3: a null MX is the only one; beside others it says
		// nothing.
		a.nullMX = false
	}
	if !a.empty() {
		a.exists = true
		return a, nil
	}
	authority, signed := negativeTTL(reply.Ns)
	a.ttl = min(a.ttl, authority)
	if owner != q.name && a.exists && !signed {
		a.alias = owner
	}
	return a, nil
}

func seconds(ttl uint32) time.Duration { return time.Duration(ttl) * time.Second }

// followAliases walks the CNAME records of one reply from the name asked for,
// unless they are what was asked for, and returns the last owner and the
// shortest time to live on the way.
func followAliases(q question, records []dns.RR) (string, time.Duration, error) {
	name := q.name
	targets := make(map[string]*dns.CNAME)
	for _, rr := range records {
		if alias, ok := rr.(*dns.CNAME); ok && q.qtype != dns.TypeCNAME {
			targets[normalName(alias.Hdr.Name)] = alias
		}
	}
	ttl := time.Duration(1<<63 - 1)
	for range maxAliases + 1 {
		alias, ok := targets[name]
		if !ok {
			return name, ttl, nil
		}
		name = normalName(alias.Target)
		ttl = min(ttl, seconds(alias.Hdr.Ttl))
	}
	return "", 0, errAliasLoop
}

// negativeTTL is the time for which the absence may be remembered (RFC 2308
// section 5), and whether an SOA record said so.
func negativeTTL(authority []dns.RR) (time.Duration, bool) {
	for _, rr := range authority {
		if soa, ok := rr.(*dns.SOA); ok {
			return seconds(min(soa.Minttl, soa.Hdr.Ttl)), true
		}
	}
	return time.Duration(1<<63 - 1), false
}

// take reads one record of the type asked for.
func (a *answer) take(rr dns.RR) {
	switch record := rr.(type) {
	case *dns.MX:
		a.takeExchanger(record)
	case *dns.A:
		a.takeAddr(record.A)
	case *dns.AAAA:
		a.takeAddr(record.AAAA)
	case *dns.CNAME:
		a.isAlias = true
	case *dns.TLSA:
		// One that cannot be read still says that the host encrypts.
		tlsa, _ := dane.FromRR(record)
		a.tlsa = append(a.tlsa, tlsa)
	case *dns.TXT:
		a.texts = append(a.texts, unescape(strings.Join(record.Txt, "")))
	}
}

func (a *answer) takeExchanger(record *dns.MX) {
	if record.Mx == "." {
		a.nullMX = true
		return
	}
	name, err := mail.ParseDomain(record.Mx)
	if err != nil || isLiteral(string(name)) {
		a.malformed++
		return
	}
	a.exchangers = append(a.exchangers, exchanger{name, record.Preference})
}

// isLiteral reports an IP address written where a host name belongs, which is
// a common mistake in MX records.
func isLiteral(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil || strings.HasPrefix(name, "[")
}

func (a *answer) takeAddr(octets []byte) {
	if addr, ok := netip.AddrFromSlice(octets); ok {
		a.addrs = append(a.addrs, addr.Unmap())
	}
}

func normalName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// unescape undoes the presentation format in which the DNS library hands over
// character strings (RFC 1035 section 5.1).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		if octet, ok := decimalOctet(s[i+1:]); ok {
			b.WriteByte(octet)
			i += 3
			continue
		}
		i++
		b.WriteByte(s[i])
	}
	return b.String()
}

func decimalOctet(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s[:3]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return byte(n), n < 256
}

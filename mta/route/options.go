package route

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route/sts"
)

// Options of a Router. The zero Options asks the servers of /etc/resolv.conf.
type Options struct {
	// Resolver lists recursive name servers as an IP address with or without a
	// port; empty for those of /etc/resolv.conf.
	Resolver []string
	// Static routes go before DNS; the most specific match wins.
	Static []Static
	// Port of mail exchangers found in DNS; zero for 25.
	Port uint16
	// Family says which kinds of address are used.
	Family Family

	// AllowLoopback lets DNS and address literals lead to this host. Static
	// routes always may.
	AllowLoopback bool
	// AllowPrivate lets them lead to private and link-local addresses. Static
	// routes always may.
	AllowPrivate bool
	// Own lists where this host takes mail itself, and OwnNames under which
	// names. Mail exchangers that are no better than ourselves are left out (RFC
	// 5321 section 5.1).
	Own      []netip.AddrPort
	OwnNames []mail.Domain

	Policies Policies

	// Provider names the site of a destination whose most preferred mail
	// exchanger is known; false leaves it to the exchanger's name. Nil for never.
	Provider func(domain, exchanger string) (site string, known bool)

	// MaxHosts bounds the mail exchangers of one route and MaxAddrs the
	// addresses of one host; zero for 16 and 8.
	MaxHosts, MaxAddrs int

	Timeouts Timeouts
	Cache    Cache
}

// Policies says which policies of recipients' domains are kept, beside the
// operator's own floor. The zero Policies keep none.
type Policies struct {
	// DANE keeps to TLSA records (RFC 7672), as far as the resolver's answers are
	// authentic: those of a resolver on a loopback address that sets the AD bit,
	// and with TrustResolver those of every one of Options.Resolver.
	DANE, TrustResolver bool
	// STS keeps to MTA-STS (RFC 8461).
	STS bool
	// STSStore keeps policies of MTA-STS over restarts; nil for none.
	STSStore sts.Store
	// RootCAs verify policy hosts; those of the system if nil.
	RootCAs *x509.CertPool
	// PolicyPort is where policy hosts listen; 443.
	PolicyPort uint16
	// Patience bounds how long a route waits for a policy host; 5 seconds.
	Patience time.Duration
	// Logger receives what becomes of STSStore; slog.Default if nil.
	Logger *slog.Logger
}

// without says in words why a host may have no policy.
func (p Policies) without() string {
	switch {
	case p.DANE && p.STS:
		return "no authentic TLSA records, no MTA-STS policy"
	case p.DANE:
		return "no authentic TLSA records; MTA-STS is off"
	case p.STS:
		return "no MTA-STS policy; DANE is off"
	}
	return "DANE and MTA-STS are off"
}

// Static is a route that the operator sets.
type Static struct {
	// Match is a domain, "*" for every domain, or ".example.com" for every
	// domain below example.com but not that itself.
	Match string
	// Hosts as host:port, tried in order. A host is an IP address or a name
	// whose addresses are looked up; without a port it is Options.Port.
	Hosts []string
	Relay Relay
}

// Family is a choice of address families.
type Family uint8

const (
	// PreferIPv4 tries IPv4 addresses first, then IPv6.
	PreferIPv4 Family = iota
	// PreferIPv6 tries IPv6 addresses first, then IPv4.
	PreferIPv6
	OnlyIPv4
	OnlyIPv6
)

// order returns the record types to ask for, in order of preference.
func (f Family) order() []uint16 {
	switch f {
	case PreferIPv6:
		return []uint16{dns.TypeAAAA, dns.TypeA}
	case OnlyIPv4:
		return []uint16{dns.TypeA}
	case OnlyIPv6:
		return []uint16{dns.TypeAAAA}
	default:
		return []uint16{dns.TypeA, dns.TypeAAAA}
	}
}

// Timeouts of name resolution; zero values mean the defaults.
type Timeouts struct {
	// Query bounds one exchange with one server; default 3 s.
	Query time.Duration
	// Total bounds one question over all servers and attempts; default 12 s.
	Total time.Duration
}

// Cache bounds what is remembered of DNS; zero values mean the defaults.
type Cache struct {
	// Entries is the number of answers kept; default 100,000.
	Entries int
	// MinTTL and MaxTTL clamp the time to live of an answer; defaults 30 s and
	// 6 h.
	MinTTL, MaxTTL time.Duration
	// NegativeTTL is the longest time for which it is remembered that a name or
	// type does not exist; default 5 min.
	NegativeTTL time.Duration
	// FailureTTL is the time for which a failed question is not asked again;
	// default 10 s.
	FailureTTL time.Duration
	// StaleFor is how long after its end an answer of a name that exists still
	// serves while no server answers (RFC 8767); default 24 h.
	StaleFor time.Duration
}

func (o Options) withDefaults() Options {
	setDefault(&o.Port, 25)
	setDefault(&o.MaxHosts, 16)
	setDefault(&o.MaxAddrs, 8)
	setDefault(&o.Timeouts.Query, 3*time.Second)
	setDefault(&o.Timeouts.Total, 12*time.Second)
	setDefault(&o.Cache.Entries, 100_000)
	setDefault(&o.Cache.MinTTL, 30*time.Second)
	setDefault(&o.Cache.MaxTTL, 6*time.Hour)
	setDefault(&o.Cache.NegativeTTL, 5*time.Minute)
	setDefault(&o.Cache.FailureTTL, 10*time.Second)
	setDefault(&o.Cache.StaleFor, 24*time.Hour)
	return o
}

func setDefault[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}

// server is a recursive name server.
type server struct {
	// addr is host:port.
	addr string
	// trusted: its AD bit is believed.
	trusted bool
}

// servers returns the name servers.
func (o Options) servers() ([]server, error) {
	if len(o.Resolver) == 0 {
		return systemServers("/etc/resolv.conf")
	}
	var servers []server
	for _, text := range o.Resolver {
		addr, err := parseServer(text)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server{addr.String(), o.Policies.TrustResolver || addr.Addr().Unmap().IsLoopback()})
	}
	return servers, nil
}

func systemServers(path string) ([]server, error) {
	config, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("resolver configuration: %w", err)
	}
	if len(config.Servers) == 0 {
		// resolv.conf(5): without a nameserver line the local one is meant.
		return []server{{"127.0.0.1:53", true}}, nil
	}
	var servers []server
	for _, text := range config.Servers {
		addr, err := netip.ParseAddr(text)
		servers = append(servers, server{net.JoinHostPort(text, config.Port), err == nil && addr.Unmap().IsLoopback()})
	}
	return servers, nil
}

func parseServer(text string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr, 53), nil
	}
	server, err := netip.ParseAddrPort(text)
	if err != nil || server.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("resolver %q is not an IP address with or without a port", text)
	}
	return server, nil
}

// parseMatch brings a Match to its normal form.
func parseMatch(match string) (key string, err error) {
	if match == "*" {
		return match, nil
	}
	below := len(match) > 1 && match[0] == '.'
	if below {
		match = match[1:]
	}
	domain, err := mail.ParseDomain(match)
	if err != nil {
		return "", fmt.Errorf("static route %q: %w", match, err)
	}
	if below {
		return "." + string(domain), nil
	}
	return string(domain), nil
}

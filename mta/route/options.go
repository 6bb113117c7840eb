package route

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/mail"
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
	// RefusePrivate forbids private and link-local addresses found in DNS or
	// given as address literals. Static routes may lead to them all the same.
	RefusePrivate bool
	// Own lists addresses on which this host takes mail itself; they are
	// treated as loopback addresses are.
	Own []netip.Addr

	// MaxHosts bounds the mail exchangers of one route and MaxAddrs the
	// addresses of one host; zero for 16 and 8.
	MaxHosts, MaxAddrs int

	Timeouts Timeouts
	Cache    Cache
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

// servers returns the name servers as host:port.
func (o Options) servers() ([]string, error) {
	if len(o.Resolver) == 0 {
		return systemServers("/etc/resolv.conf")
	}
	var servers []string
	for _, text := range o.Resolver {
		server, err := parseServer(text)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	return servers, nil
}

func systemServers(path string) ([]string, error) {
	config, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("resolver configuration: %w", err)
	}
	if len(config.Servers) == 0 {
		// resolv.conf(5): without a nameserver line the local one is meant.
		return []string{"127.0.0.1:53"}, nil
	}
	var servers []string
	for _, server := range config.Servers {
		servers = append(servers, net.JoinHostPort(server, config.Port))
	}
	return servers, nil
}

func parseServer(text string) (string, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr, 53).String(), nil
	}
	server, err := netip.ParseAddrPort(text)
	if err != nil || server.Port() == 0 {
		return "", fmt.Errorf("resolver %q is not an IP address with or without a port", text)
	}
	return server.String(), nil
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

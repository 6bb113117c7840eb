package route

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// table holds the static routes by the normal form of their match.
type table map[string]staticRoute

type staticRoute struct {
	hosts []staticHost
	relay Relay
}

// staticHost has either an address or a name.
type staticHost struct {
	addr netip.Addr
	name mail.Domain
	port uint16
}

func newTable(routes []Static, port uint16) (table, error) {
	t := make(table, len(routes))
	for _, r := range routes {
		key, err := parseMatch(r.Match)
		if err != nil {
			return nil, err
		}
		if _, twice := t[key]; twice {
			return nil, fmt.Errorf("static route %q: set twice", r.Match)
		}
		if len(r.Hosts) == 0 {
			return nil, fmt.Errorf("static route %q: no host", r.Match)
		}
		compiled := staticRoute{relay: r.Relay}
		for _, text := range r.Hosts {
			host, err := parseStaticHost(text, port)
			if err != nil {
				return nil, fmt.Errorf("static route %q: host %q: %w", r.Match, text, err)
			}
			compiled.hosts = append(compiled.hosts, host)
		}
		t[key] = compiled
	}
	return t, nil
}

// find returns the most specific route: the domain itself, then the nearest
// parent written with a leading dot, then "*".
func (t table) find(domain mail.Domain) (staticRoute, bool) {
	if r, ok := t[string(domain)]; ok {
		return r, true
	}
	for _, parent, found := strings.Cut(string(domain), "."); found; _, parent, found = strings.Cut(parent, ".") {
		if r, ok := t["."+parent]; ok {
			return r, true
		}
	}
	r, ok := t["*"]
	return r, ok
}

func parseStaticHost(text string, port uint16) (staticHost, error) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return staticHost{addr: addr, port: port}, nil
	}
	host := text
	if name, number, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return staticHost{}, fmt.Errorf("%q is no port", number)
		}
		host, port = name, uint16(n)
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return staticHost{addr: addr, port: port}, nil
	}
	name, err := mail.ParseDomain(host)
	if err != nil {
		return staticHost{}, err
	}
	return staticHost{name: name, port: port}, nil
}

// String returns host:port.
func (h staticHost) String() string { return net.JoinHostPort(h.host(), strconv.Itoa(int(h.port))) }

func (h staticHost) host() string {
	if h.addr.IsValid() {
		return h.addr.String()
	}
	return string(h.name)
}

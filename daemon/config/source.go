package config

import (
	"net/netip"
	"slices"
	"strings"
)

// Source is a local end that mail leaves from.
type Source struct {
	Name string `toml:"name" is:"name" required:"true"`
	// IPv4 and IPv6 are its addresses. With one of them it sends over that
	// family only, with neither the system chooses.
	IPv4 netip.Addr `toml:"ipv4" is:"ipv4"`
	IPv6 netip.Addr `toml:"ipv6" is:"ipv6"`
	// EHLOName is what the client calls itself.
	EHLOName string `toml:"ehlo_name" is:"hostname"`
	// WarmUp has it follow the schedules of new sources.
	WarmUp bool `toml:"warmup"`
	// Proxy that connections go through, as PROTOCOL://HOST:PORT; see
	// ProxyAddress. Empty for none.
	Proxy             string     `toml:"proxy" is:"proxy"`
	ProxyUsername     string     `toml:"proxy_username"`
	ProxyPasswordFile SecretFile `toml:"proxy_password_file"`
	// ProxyBind asks a SOCKS5 proxy to send from IPv4 and IPv6.
	ProxyBind bool `toml:"proxy_bind"`
}

// Protocols of proxies.
const (
	ProxySOCKS5  = "socks5"
	ProxyHAProxy = "haproxy"
)

// ProxyAddress returns the protocol of the proxy, one of the constants above,
// and its host and port; nothing where there is none.
func (s *Source) ProxyAddress() (protocol, address string) {
	protocol, address, _ = strings.Cut(s.Proxy, "://")
	return protocol, address
}

// Pool is a choice of sources.
type Pool struct {
	Name string `toml:"name" is:"name" required:"true"`
	// Sources are never empty.
	Sources []PoolSource `toml:"source"`
	// Tenants may name the pool in a message; none for all.
	Tenants []string `toml:"tenants" is:"name"`
}

// PoolSource is a source's place in a pool.
type PoolSource struct {
	Name string `toml:"name" is:"name" required:"true"`
	// Weight is its share beside the others'.
	Weight int `toml:"weight" min:"1" max:"1000"`
}

func (p *PoolSource) setDefaults() { p.Weight = 1 }

const (
	defaultSource = "default"
	defaultPool   = "default"
)

// resolveSources makes sure that there is a source and a pool, and that mail
// which nobody assigns one has one. Without any [[source]] there is that of
// [delivery]; without any [[pool]] one of all sources.
func (d *decoder) resolveSources(c *Config) {
	if len(c.Sources) == 0 {
		c.Sources = []Source{{Name: defaultSource, IPv4: c.Delivery.SourceIPv4, IPv6: c.Delivery.SourceIPv6}}
	}
	for i := range c.Sources {
		setIfEmpty(&c.Sources[i].EHLOName, c.Delivery.EHLOName)
	}
	if len(c.Pools) == 0 && !d.isSet("pool") {
		all := Pool{Name: defaultPool}
		for _, s := range c.Sources {
			all.Sources = append(all.Sources, PoolSource{Name: s.Name, Weight: 1})
		}
		c.Pools = []Pool{all}
	}
	if len(c.Pools) > 0 {
		setIfEmpty(&c.Delivery.Pool, c.Pools[0].Name)
	}
}

func (d *decoder) checkSources(c *Config) {
	names, addresses := d.unique(), d.unique()
	for i := range c.Sources {
		s, at := &c.Sources[i], path("source", i)
		if !d.isSet(at) {
			continue // that of [delivery]
		}
		names.add(s.Name, d.at("source.name", at+".name"))
		d.checkFamilies("source", at, "ipv4", s.IPv4, "ipv6", s.IPv6)
		addresses.addAddr(s.IPv4, d.at("source.ipv4", at+".ipv4"))
		addresses.addAddr(s.IPv6, d.at("source.ipv6", at+".ipv6"))
		d.checkReach(c, s, at)
		d.checkProxy(s, at)
	}
	if !d.isSet("source") {
		return
	}
	for _, key := range []string{"source_ipv4", "source_ipv6"} {
		if d.isGiven("delivery." + key) {
			d.problems.add(d.at("delivery."+key, "delivery."+key), "expected only without any [[source]]")
		}
	}
}

// addAddr is add for an address that may be left out.
func (u *unique) addAddr(a netip.Addr, at place) {
	if a.IsValid() {
		u.add(a.String(), at)
	}
}

// checkFamilies holds a pair of addresses against their families.
func (d *decoder) checkFamilies(table, at, key4 string, ipv4 netip.Addr, key6 string, ipv6 netip.Addr) {
	wrong := func(key, format string, a netip.Addr) {
		d.problems.add(d.at(table+"."+key, at+"."+key), "expected %s, not %q", formats()[format].expected, a)
	}
	if ipv4.IsValid() && !ipv4.Is4() {
		wrong(key4, "ipv4", ipv4)
	}
	if ipv6.IsValid() && (!ipv6.Is6() || ipv6.Is4In6() || ipv6.Zone() != "") {
		wrong(key6, "ipv6", ipv6)
	}
}

// checkReach reports a source whose only family is never used.
func (d *decoder) checkReach(c *Config, s *Source, at string) {
	switch {
	case s.IPv4.IsValid() && !s.IPv6.IsValid() && !c.Delivery.IPv4:
		d.problems.add(d.at("source.ipv4", at+".ipv4"), "expected only with ipv4 = true in [delivery], or beside an ipv6")
	case s.IPv6.IsValid() && !s.IPv4.IsValid() && !c.Delivery.IPv6:
		d.problems.add(d.at("source.ipv6", at+".ipv6"), "expected only with ipv6 = true in [delivery], or beside an ipv4")
	}
}

// checkProxy holds the keys of a proxy against each other.
func (d *decoder) checkProxy(s *Source, at string) {
	if s.Proxy == "" && d.isGiven(at+".proxy") {
		return // wrong, and reported so
	}
	protocol, _ := s.ProxyAddress()
	user, password := s.ProxyUsername != "", d.isGiven(at+".proxy_password_file")
	addressed := d.isGiven(at+".ipv4") || d.isGiven(at+".ipv6")
	const onlySOCKS = "expected only with a socks5 proxy"
	where := func(key string) place { return d.at("source."+key, at+"."+key) }
	if user && protocol != ProxySOCKS5 {
		d.problems.add(where("proxy_username"), onlySOCKS)
	}
	if password && protocol != ProxySOCKS5 {
		d.problems.add(where("proxy_password_file"), onlySOCKS)
	}
	switch {
	case user && !password:
		d.problems.add(d.at("source.proxy_password_file", at+".proxy_username"), "missing; expected with proxy_username")
	case password && !user:
		d.problems.add(d.at("source.proxy_username", at+".proxy_password_file"), "missing; expected with proxy_password_file")
	}
	switch {
	case s.ProxyBind && protocol != ProxySOCKS5:
		d.problems.add(where("proxy_bind"), onlySOCKS)
	case s.ProxyBind && !addressed:
		d.problems.add(where("proxy_bind"), "expected only with ipv4 or ipv6, from which the proxy is to send")
	case protocol == ProxyHAProxy && !addressed:
		d.problems.add(where("proxy"), "expected only with ipv4 or ipv6, from which the proxy is to send")
	}
}

func (d *decoder) checkPools(c *Config) {
	names := d.unique()
	for i := range c.Pools {
		p, at := &c.Pools[i], path("pool", i)
		if !d.isSet(at) {
			continue // that of all sources
		}
		names.add(p.Name, d.at("pool.name", at+".name"))
		d.checkMembers(c, p, at)
		for _, tenant := range p.Tenants {
			d.checkTenantName(c, tenant, d.at("pool.tenants", at+".tenants"))
		}
	}
	d.checkPoolName(c, c.Delivery.Pool, d.at("delivery.pool", "delivery.pool"))
	for i := range c.Tenants {
		t, at := &c.Tenants[i], path("tenant", i)
		d.checkPoolName(c, t.Pool, d.at("tenant.pool", at+".pool"))
		for j := range t.Streams {
			d.checkPoolName(c, t.Streams[j].Pool, d.at("tenant.stream.pool", at+"."+path("stream", j)+".pool"))
		}
	}
}

func (d *decoder) checkMembers(c *Config, p *Pool, at string) {
	if len(p.Sources) == 0 && !d.isGiven(at+".source") {
		d.problems.add(d.at("pool.source", at), `missing; expected [[pool.source]] tables, or source = [{ name = "NAME" }]`)
	}
	members := d.unique()
	for i := range p.Sources {
		name, where := p.Sources[i].Name, d.at("pool.source.name", at+"."+path("source", i)+".name")
		members.add(name, where)
		known := slices.ContainsFunc(c.Sources, func(s Source) bool { return s.Name == name })
		if name != "" && !known {
			d.problems.add(where, "expected the name of a [[source]], not %q", name)
		}
	}
}

func (d *decoder) checkPoolName(c *Config, name string, at place) {
	known := slices.ContainsFunc(c.Pools, func(p Pool) bool { return p.Name == name })
	if name != "" && !known {
		d.problems.add(at, "expected the name of a [[pool]], not %q", name)
	}
}

// isProxy accepts the protocol and the host and port of a proxy. A user name
// and password have keys of their own: the configuration holds no secret.
func isProxy(s string) bool {
	protocol, address, ok := strings.Cut(s, "://")
	return ok && (protocol == ProxySOCKS5 || protocol == ProxyHAProxy) && isHostPort(address)
}

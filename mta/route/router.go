package route

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route/sts"
)

// Router finds routes. Its methods may be called from any goroutine.
type Router struct {
	static      table
	permissions permissions
	self        self
	resolver    *resolver
	families    []uint16
	port        uint16
	maxHosts    int
	maxAddrs    int
	// dane: TLSA records are looked for.
	dane bool
	// sts is nil where MTA-STS is not kept to.
	sts      *sts.Cache
	provider func(domain, exchanger string) (string, bool)
	// without says in words why a host may have no policy.
	without string
}

// New checks the options. It asks nothing of DNS; Close ends what Route starts.
func New(options Options) (*Router, error) {
	options = options.withDefaults()
	static, err := newTable(options.Static, options.Port)
	if err != nil {
		return nil, err
	}
	servers, err := options.servers()
	if err != nil {
		return nil, err
	}
	r := &Router{
		static:      static,
		permissions: newPermissions(options),
		self:        newSelf(options),
		provider:    options.Provider,
		resolver:    newResolver(servers, options.Timeouts, options.Cache),
		families:    options.Family.order(),
		port:        options.Port,
		maxHosts:    options.MaxHosts,
		maxAddrs:    options.MaxAddrs,
		dane:        options.Policies.DANE,
		without:     options.Policies.without(),
	}
	if options.Policies.STS {
		r.sts = r.newSTS(options.Policies)
	}
	return r, nil
}

// Close ends look-ups under way and waits for them.
func (r *Router) Close() {
	if r.sts != nil {
		r.sts.Close()
	}
	r.resolver.close()
}

// Stats counts what was asked of DNS since the start.
type Stats struct {
	// Queries sent, answers from the cache, answers served past their time
	// because no server answered, and questions that failed.
	Queries, Hits, Stale, Failures uint64
	// Entries in the cache now.
	Entries int
	// STS counts policies of MTA-STS.
	STS sts.Stats
}

// Stats returns the counters.
func (r *Router) Stats() Stats {
	c := &r.resolver.counters
	stats := Stats{
		Queries: c.queries.Load(), Hits: c.hits.Load(), Stale: c.stale.Load(), Failures: c.failures.Load(),
		Entries: r.resolver.cache.len(),
	}
	if r.sts != nil {
		stats.STS = r.sts.Stats()
	}
	return stats
}

// Route returns where mail for domain goes. Every error is an *Error.
func (r *Router) Route(ctx context.Context, domain mail.Domain) (*Route, error) {
	route, err := r.route(ctx, domain)
	if err == nil {
		return route, nil
	}
	failure := newError(domain, err)
	if route != nil {
		failure.Findings = route.Findings
	}
	if errors.Is(err, ErrPolicy) {
		failure.Barred = route
	}
	return nil, failure
}

// route may return a route without hosts beside an error.
func (r *Router) route(ctx context.Context, domain mail.Domain) (*Route, error) {
	if static, ok := r.static.find(domain); ok {
		return r.throughStatic(ctx, static)
	}
	if addr, ok := domain.Literal(); ok {
		return r.toLiteral(domain, addr)
	}
	r.foresee(domain)
	exchangers, hop, err := r.exchangers(ctx, domain)
	if err != nil {
		return nil, err
	}
	candidates, err := r.resolveHosts(ctx, exchangers)
	if err != nil {
		return nil, err
	}
	route := &Route{Site: r.site(domain, exchangers[0].name)}
	err = r.protect(ctx, route, candidates, hop)
	shuffleEqual(route.Hosts)
	shuffleEqual(route.Barred)
	return route, err
}

func (r *Router) site(domain, exchanger mail.Domain) string {
	if r.provider != nil {
		if name, known := r.provider(string(domain), string(exchanger)); known {
			return name
		}
	}
	return site(exchanger)
}

// LookupTXT returns the TXT records of name, each with its strings joined; none
// where there are none.
func (r *Router) LookupTXT(ctx context.Context, name string) ([]string, error) {
	a, err := r.resolver.ask(ctx, question{normalName(name), dns.TypeTXT})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrResolver, err)
	}
	return a.texts, nil
}

func (r *Router) toLiteral(domain mail.Domain, addr netip.Addr) (*Route, error) {
	door := netip.AddrPortFrom(addr, r.port)
	switch {
	case r.self.hasAddr(door):
		return nil, ErrLoop
	case !r.permissions.allows(addr):
		return nil, ErrForbidden
	}
	host := Host{Name: addr.String(), Addrs: []netip.AddrPort{door}, TLS: unprotected(domain, "an address literal has no policy")}
	return &Route{Site: string(domain), Hosts: []Host{host}}, nil
}

// throughStatic keeps the operator's order of hosts.
func (r *Router) throughStatic(ctx context.Context, static staticRoute) (*Route, error) {
	route := &Route{Site: static.hosts[0].String(), Relay: &static.relay}
	var failure error
	for i, h := range static.hosts {
		addrs, err := r.staticAddrs(ctx, h)
		if err != nil {
			failure = cmp.Or(failure, err)
			continue
		}
		route.Hosts = append(route.Hosts, Host{
			Name: h.host(), Preference: uint16(min(i, 65535)), Addrs: withPort(addrs, h.port),
			TLS: Protection{Floor: static.relay.TLS, Reason: "set by a static route"},
		})
	}
	if len(route.Hosts) == 0 {
		return nil, fmt.Errorf("%w: host of the static route: %w", ErrResolver, failure)
	}
	return route, nil
}

func (r *Router) staticAddrs(ctx context.Context, h staticHost) ([]netip.Addr, error) {
	switch {
	case h.addr.IsValid():
		return []netip.Addr{h.addr}, nil
	case h.name == "localhost":
		// RFC 6761 section 6.3: not a question for DNS.
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	at, err := r.beginAddrs(h.name).wait(ctx, r.maxAddrs)
	return at.addrs, err
}

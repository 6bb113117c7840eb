package route

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Router finds routes. Its methods may be called from any goroutine.
type Router struct {
	static   table
	policy   policy
	resolver *resolver
	families []uint16
	port     uint16
	maxHosts int
	maxAddrs int
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
	return &Router{
		static:   static,
		policy:   newPolicy(options),
		resolver: newResolver(servers, options.Timeouts, options.Cache),
		families: options.Family.order(),
		port:     options.Port,
		maxHosts: options.MaxHosts,
		maxAddrs: options.MaxAddrs,
	}, nil
}

// Close ends look-ups under way and waits for them.
func (r *Router) Close() { r.resolver.close() }

// Stats counts what was asked of DNS since the start.
type Stats struct {
	// Queries sent, answers from the cache, answers served past their time
	// because no server answered, and questions that failed.
	Queries, Hits, Stale, Failures uint64
	// Entries in the cache now.
	Entries int
}

// Stats returns the counters.
func (r *Router) Stats() Stats {
	c := &r.resolver.counters
	return Stats{
		Queries: c.queries.Load(), Hits: c.hits.Load(), Stale: c.stale.Load(), Failures: c.failures.Load(),
		Entries: r.resolver.cache.len(),
	}
}

// Route returns where mail for domain goes. Every error is an *Error.
func (r *Router) Route(ctx context.Context, domain mail.Domain) (*Route, error) {
	route, err := r.route(ctx, domain)
	if err != nil {
		return nil, newError(domain, err)
	}
	return route, nil
}

func (r *Router) route(ctx context.Context, domain mail.Domain) (*Route, error) {
	if static, ok := r.static.find(domain); ok {
		return r.throughStatic(ctx, static)
	}
	if addr, ok := domain.Literal(); ok {
		return r.toLiteral(domain, addr)
	}
	exchangers, err := r.exchangers(ctx, domain)
	if err != nil {
		return nil, err
	}
	hosts, err := r.resolveHosts(ctx, exchangers)
	if err != nil {
		return nil, err
	}
	shuffleEqual(hosts)
	return &Route{Site: site(exchangers[0].name), Hosts: hosts}, nil
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
	if !r.policy.allows(addr) {
		return nil, ErrForbidden
	}
	host := Host{Name: addr.String(), Addrs: []netip.AddrPort{netip.AddrPortFrom(addr, r.port)}}
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
		route.Hosts = append(route.Hosts, Host{h.host(), uint16(min(i, 65535)), withPort(addrs, h.port)})
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
	return r.beginAddrs(h.name).wait(ctx, r.maxAddrs)
}

package route

import (
	"context"
	"fmt"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route/dane"
)

// nextHop is what the look-up of mail exchangers brought.
type nextHop struct {
	domain mail.Domain
	// owner is the domain after all aliases.
	owner string
	// secure: the answer was authentic.
	secure bool
	// direct: there is no MX record, the domain is its own host.
	direct bool
}

// names are those that a certificate may carry beside the TLSA base domain (RFC
// 7672 section 3.2.3): the next hop's where it led to the host securely.
func (n nextHop) names() []string {
	switch {
	case n.direct:
		return []string{string(n.domain)}
	case n.secure:
		return []string{string(n.domain), n.owner}
	}
	return nil
}

// tlsa looks for the TLSA records of a host (RFC 7672 section 2.2.3). The
// policy is nil where there are none that can be believed; an error means that
// the host must not be used, because somebody may be hiding them.
func (r *Router) tlsa(ctx context.Context, host string, at located, hop nextHop) (*dane.Policy, error) {
	bases, err := r.bases(ctx, host, at)
	if err != nil {
		return nil, err
	}
	for _, base := range bases {
		a, err := r.resolver.ask(ctx, r.tlsaQuestion(base))
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: TLSA records: %w", ErrResolver, err)
		case len(a.tlsa) == 0 && a.stale && !at.stale:
			return nil, fmt.Errorf("%w: TLSA records", ErrResolver)
		case len(a.tlsa) > 0 && a.secure:
			return dane.New(a.tlsa, base, hop.names()...), nil
		}
	}
	return nil, nil
}

func (r *Router) tlsaQuestion(base string) question {
	return question{fmt.Sprintf("_%d._tcp.%s", r.port, base), dns.TypeTLSA}
}

// bases lists the TLSA base domains to try (RFC 7672 section 2.2.2): what a
// secure chain of aliases leads to, then its beginning; of one that is not
// secure all the way only the beginning, where that is. Hosts in zones that are
// not signed are not asked about: many of their servers mishandle the question.
func (r *Router) bases(ctx context.Context, host string, at located) ([]string, error) {
	alias := at.owner != host
	switch {
	case at.secure && alias:
		return []string{at.owner, host}, nil
	case at.secure:
		return []string{host}, nil
	case !alias:
		return nil, nil
	}
	a, err := r.resolver.ask(ctx, question{host, dns.TypeCNAME})
	if err != nil {
		return nil, fmt.Errorf("%w: alias: %w", ErrResolver, err)
	}
	if a.secure && a.isAlias {
		return []string{host}, nil
	}
	return nil, nil
}

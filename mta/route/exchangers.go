package route

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"

	"github.com/postrider-mta/postrider/internal/mail"
)

// exchangers returns the mail exchangers of domain by preference and name, the
// domain itself where it has no MX record (RFC 5321 section 5.1).
func (r *Router) exchangers(ctx context.Context, domain mail.Domain) ([]exchanger, nextHop, error) {
	a, err := r.resolver.ask(ctx, question{string(domain), dns.TypeMX})
	switch {
	case err != nil:
		return nil, nextHop{}, fmt.Errorf("%w: %w", ErrResolver, err)
	case !a.exists:
		return nil, nextHop{}, ErrNoDomain
	case a.nullMX:
		return nil, nextHop{}, ErrNullMX
	case len(a.exchangers) == 0 && a.malformed > 0:
		return nil, nextHop{}, fmt.Errorf("%w: %w", ErrNoHosts, errMalformed)
	}
	hop := nextHop{domain: domain, owner: a.owner, secure: a.secure, direct: len(a.exchangers) == 0}
	if hop.direct {
		return []exchanger{{name: domain}}, hop, nil
	}
	return selectExchangers(a.exchangers, r.maxHosts), hop, nil
}

// errMalformed makes an ErrNoHosts one that may pass: somebody mistyped a
// record and will notice.
var errMalformed = errors.New("malformed MX records")

// selectExchangers sorts, drops repeated names and keeps the first limit. The
// result does not depend on the order in which DNS gave the records.
func selectExchangers(found []exchanger, limit int) []exchanger {
	sorted := slices.Clone(found)
	slices.SortFunc(sorted, func(a, b exchanger) int {
		return cmp.Or(cmp.Compare(a.preference, b.preference), cmp.Compare(a.name, b.name))
	})
	seen := make(map[mail.Domain]bool, len(sorted))
	sorted = slices.DeleteFunc(sorted, func(e exchanger) bool {
		repeated := seen[e.name]
		seen[e.name] = true
		return repeated
	})
	return sorted[:min(len(sorted), limit)]
}

// site names the provider that runs a host: the domain that somebody
// registered.
func site(host mail.Domain) string {
	registered, err := publicsuffix.EffectiveTLDPlusOne(string(host))
	if err != nil {
		return string(host)
	}
	return registered
}

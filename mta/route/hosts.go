package route

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/postrider-mta/postrider/internal/mail"
)

// candidate is a host with what DNS said of its name.
type candidate struct {
	Host
	at located
}

// resolveHosts looks all hosts up at once and skips those without an address
// that is allowed, and those that are no better than this host.
func (r *Router) resolveHosts(ctx context.Context, exchangers []exchanger) ([]candidate, error) {
	begun := make([]hostLookup, len(exchangers))
	for i, e := range exchangers {
		begun[i] = r.beginAddrs(e.name)
	}
	var hosts []candidate
	var errs []error
	limit := 1 << 16 // above every preference
	for i, e := range exchangers {
		at, err := begun[i].wait(ctx, r.maxAddrs)
		if r.self.isHost(e.name, withPort(at.addrs, r.port)) {
			limit = min(limit, int(e.preference))
		}
		addrs, err := r.filter(at.addrs, err)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		host := Host{Name: string(e.name), Preference: e.preference, Addrs: withPort(addrs, r.port)}
		hosts = append(hosts, candidate{host, at})
	}
	hosts = slices.DeleteFunc(hosts, func(c candidate) bool { return int(c.Preference) >= limit })
	switch {
	case len(hosts) > 0:
		return hosts, nil
	case limit == int(exchangers[0].preference):
		return nil, ErrLoop
	}
	return nil, worst(errs)
}

// filter drops the addresses that the policy forbids.
func (r *Router) filter(addrs []netip.Addr, err error) ([]netip.Addr, error) {
	if err != nil {
		return nil, err
	}
	allowed := slices.DeleteFunc(slices.Clone(addrs), func(addr netip.Addr) bool { return !r.permissions.allows(addr) })
	if len(allowed) == 0 {
		return nil, ErrForbidden
	}
	return allowed, nil
}

// worst chooses the error that says most about what to do: one that may pass
// before a final one.
func worst(errs []error) error {
	chosen := errs[0]
	for _, err := range errs {
		if errors.Is(err, ErrResolver) {
			return err
		}
		if errors.Is(err, ErrForbidden) {
			chosen = err
		}
	}
	return chosen
}

// hostLookup has a question under way for each family.
type hostLookup []pending

func (r *Router) beginAddrs(name mail.Domain) hostLookup {
	begun := make(hostLookup, len(r.families))
	for i, qtype := range r.families {
		begun[i] = r.resolver.begin(question{string(name), qtype})
	}
	return begun
}

// located is where a host was found.
type located struct {
	addrs []netip.Addr
	// owner is the host's name after all aliases.
	owner string
	// secure: every answer with addresses was authentic; stale: one was past its
	// time.
	secure, stale bool
}

// wait returns the addresses of a host in the order of the families; never
// none without an error.
func (l hostLookup) wait(ctx context.Context, limit int) (located, error) {
	found := make([]answer, len(l))
	var failure error
	for i, p := range l {
		var err error
		found[i], err = p.wait(ctx)
		failure = cmp.Or(failure, err)
	}
	at := located{addrs: mixFamilies(found, limit), secure: true}
	for _, a := range found {
		if len(a.addrs) > 0 {
			at.owner, at.secure, at.stale = a.owner, at.secure && a.secure, at.stale || a.stale
		}
	}
	switch {
	case len(at.addrs) > 0:
		return at, nil
	case failure != nil:
		return located{}, fmt.Errorf("%w: %w", ErrResolver, failure)
	}
	return located{}, ErrNoHosts
}

// mixFamilies shuffles each family, puts the preferred one first, and leaves
// the other one room within the limit so that a host stays reachable over both.
func mixFamilies(found []answer, limit int) []netip.Addr {
	var addrs []netip.Addr
	for i, a := range found {
		family := slices.Clone(a.addrs)
		rand.Shuffle(len(family), func(i, j int) { family[i], family[j] = family[j], family[i] })
		room := limit - len(addrs)
		if i == 0 && len(found) > 1 && limit > 1 {
			room -= min(len(found[1].addrs), limit/2)
		}
		addrs = append(addrs, family[:min(len(family), room)]...)
	}
	return addrs
}

func withPort(addrs []netip.Addr, port uint16) []netip.AddrPort {
	withPorts := make([]netip.AddrPort, len(addrs))
	for i, addr := range addrs {
		withPorts[i] = netip.AddrPortFrom(addr, port)
	}
	return withPorts
}

// shuffleEqual orders hosts of one preference at random (RFC 5321 section 5.1).
func shuffleEqual(hosts []Host) {
	rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	slices.SortStableFunc(hosts, func(a, b Host) int { return cmp.Compare(a.Preference, b.Preference) })
}

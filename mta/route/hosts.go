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

// resolveHosts looks all hosts up at once and skips those without an address
// that is allowed.
func (r *Router) resolveHosts(ctx context.Context, exchangers []exchanger) ([]Host, error) {
	begun := make([]hostLookup, len(exchangers))
	for i, e := range exchangers {
		begun[i] = r.beginAddrs(e.name)
	}
	var hosts []Host
	var errs []error
	for i, e := range exchangers {
		addrs, err := r.filter(begun[i].wait(ctx, r.maxAddrs))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		hosts = append(hosts, Host{string(e.name), e.preference, withPort(addrs, r.port)})
	}
	if len(hosts) == 0 {
		return nil, worst(errs)
	}
	return hosts, nil
}

// filter drops the addresses that the policy forbids.
func (r *Router) filter(addrs []netip.Addr, err error) ([]netip.Addr, error) {
	if err != nil {
		return nil, err
	}
	allowed := slices.DeleteFunc(addrs, func(addr netip.Addr) bool { return !r.policy.allows(addr) })
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

// wait returns the addresses of a host in the order of the families; never
// none without an error.
func (l hostLookup) wait(ctx context.Context, limit int) ([]netip.Addr, error) {
	found := make([]answer, len(l))
	var failure error
	for i, p := range l {
		var err error
		found[i], err = p.wait(ctx)
		failure = cmp.Or(failure, err)
	}
	if addrs := mixFamilies(found, limit); len(addrs) > 0 {
		return addrs, nil
	}
	if failure != nil {
		return nil, fmt.Errorf("%w: %w", ErrResolver, failure)
	}
	return nil, ErrNoHosts
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

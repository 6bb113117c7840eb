package source

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Set holds the sources and pools. It is safe for concurrent use.
type Set struct {
	options Options
	table   atomic.Pointer[table]

	// suspended is the number of suspensions, so that nobody has to lock to
	// learn that there are none.
	suspended atomic.Int64
	mu        sync.Mutex
	held      map[suspensionKey]*suspension
	forgotten uint64
}

// New returns a Set. Its error wraps ErrOptions.
func New(o Options) (*Set, error) {
	o = o.withDefaults()
	t, err := newTable(&o)
	if err != nil {
		return nil, err
	}
	s := &Set{options: o, held: map[suspensionKey]*suspension{}}
	s.table.Store(t)
	return s, nil
}

// Configure puts other Sources, Pools, Assignments and Default of options in
// force; the rest stays as New was told. Suspensions stay where the source has
// kept its addresses and its proxy. With an error, which wraps ErrOptions,
// nothing has changed.
func (s *Set) Configure(o Options) error {
	t, err := newTable(&o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.table.Swap(t)
	for key := range s.held {
		was, is := before.sources[key.source], t.sources[key.source]
		if is == nil || was == nil || was.IPv4 != is.IPv4 || was.IPv6 != is.IPv6 || was.Proxy != is.Proxy {
			s.drop(key)
		}
	}
	return nil
}

// Sources returns the sources, ordered by name.
func (s *Set) Sources() []Source {
	var all []Source
	for _, one := range s.table.Load().sources {
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b Source) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Source returns the source of that name.
func (s *Set) Source(name string) (Source, bool) {
	one := s.table.Load().sources[name]
	if one == nil {
		return Source{}, false
	}
	return *one, true
}

// MayUse reports whether a message of the tenant may name the pool: it exists
// and is open to the tenant, or it is one that the tenant has anyhow.
func (s *Set) MayUse(tenant, pool string) bool { return s.table.Load().mayUse(tenant, pool) }

func (t *table) mayUse(tenant, name string) bool {
	p := t.pools[name]
	switch {
	case p == nil:
		return false
	case len(p.tenants) == 0, slices.Contains(p.tenants, tenant), name == t.fallback:
		return true
	}
	for who, pool := range t.assigned {
		if who[0] == tenant && pool == name {
			return true
		}
	}
	return false
}

// PoolOf returns the name of the pool that a message leaves by: the one that it
// names, else its stream's, its tenant's, the default. The one that it names
// may not exist, or not for this tenant: see MayUse.
func (s *Set) PoolOf(tenant, stream, named string) string {
	return s.table.Load().poolOf(tenant, stream, named)
}

func (t *table) poolOf(tenant, stream, named string) string {
	if named != "" {
		return named
	}
	if name, ok := t.assigned[[2]string{tenant, stream}]; ok {
		return name
	}
	if name, ok := t.assigned[[2]string{tenant, ""}]; ok {
		return name
	}
	return t.fallback
}

// Choice is where a message leaves from.
type Choice struct {
	Source Source
	// Pool that it was chosen from.
	Pool string
	// Families that may be used now: both of the source's, less those that the
	// site does not have, the preference forbids, or that are suspended.
	Families Families
	// Probe marks the one message that finds out whether a suspension is over.
	// Connected, Delivered or Suspend say how it went.
	Probe bool

	preference Preference
}

// Addresses returns those of addrs that the source can connect to now, those
// of the preferred family first and otherwise in their order.
func (c *Choice) Addresses(addrs []netip.AddrPort) []netip.AddrPort {
	var first, later []netip.AddrPort
	for _, a := range addrs {
		switch f := FamilyOf(a.Addr()); {
		case f&c.Families == 0:
		case f == c.preference.first():
			first = append(first, a)
		default:
			later = append(later, a)
		}
	}
	return append(first, later...)
}

// Candidate is a source of a pool and what keeps it from being chosen now.
type Candidate struct {
	Source Source
	// Share of the pool's weight, from 0 to 1.
	Share float64
	// Families that it may use now.
	Families Families
	// Reason why it is not chosen, in words; empty if it may be.
	Reason string
	// Until is when that may be over; zero where nobody knows.
	Until time.Time
}

package source

import (
	"fmt"
	"net/netip"
	"slices"
)

// Source is a local end: what a mail exchanger sees of us.
type Source struct {
	Name string
	// IPv4 and IPv6 are the addresses that connections leave from. A source
	// with one of them speaks only that family; one with neither leaves the
	// choice of address to the system and speaks both.
	IPv4, IPv6 netip.Addr
	// EHLO is the name that the client gives itself.
	EHLO string
	// Proxy names what connections go through; empty for none. It means
	// nothing here.
	Proxy string
}

// Speaks returns the families that the source can use.
func (s *Source) Speaks() Families {
	if !s.IPv4.IsValid() && !s.IPv6.IsValid() {
		return Both
	}
	var f Families
	if s.IPv4.IsValid() {
		f |= IPv4
	}
	if s.IPv6.IsValid() {
		f |= IPv6
	}
	return f
}

// Local returns the address to bind for a connection to remote; the zero Addr
// leaves the choice to the system.
func (s *Source) Local(remote netip.Addr) netip.Addr {
	if FamilyOf(remote) == IPv6 {
		return s.IPv6
	}
	return s.IPv4
}

// Pool is a choice of sources.
type Pool struct {
	Name string
	// Members are never empty, and none comes twice.
	Members []Member
	// Tenants that may name the pool in a message; none for all. Whom the
	// configuration assigns the pool to needs no leave.
	Tenants []string
}

// Member is a source's place in a pool.
type Member struct {
	Source string
	// Weight is its share beside the others'; at least 1.
	Weight int
}

// Assignment gives the mail of a tenant, or of one stream of a tenant, a pool.
type Assignment struct {
	// Tenant and Stream; an empty Stream stands for all that have none of
	// their own.
	Tenant, Stream string
	Pool           string
}

// Families is a set of address families.
type Families uint8

// The families; the zero Families are none, or all where nothing else is said.
const (
	IPv4 Families = 1 << iota
	IPv6
	Both = IPv4 | IPv6
)

// FamilyOf returns the family of an address; none of the zero Addr.
func FamilyOf(a netip.Addr) Families {
	switch {
	case a.Is4(), a.Is4In6():
		return IPv4
	case a.Is6():
		return IPv6
	}
	return 0
}

// String returns the name of the family or families.
func (f Families) String() string {
	switch f {
	case 0:
		return "none"
	case IPv4:
		return "IPv4"
	case IPv6:
		return "IPv6"
	}
	return "IPv4 and IPv6"
}

// Preference is which family a provider is to be sent to over.
type Preference uint8

const (
	// Either takes addresses in the order in which they come.
	Either Preference = iota
	// PreferIPv4 and PreferIPv6 try that family first.
	PreferIPv4
	PreferIPv6
	// OnlyIPv4 and OnlyIPv6 use no other.
	OnlyIPv4
	OnlyIPv6
)

func preferenceNames() []string {
	return []string{"any", "prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6"}
}

// ParsePreference reads any, prefer-ipv4, prefer-ipv6, ipv4 or ipv6; the empty
// string is any.
func ParsePreference(s string) (Preference, error) {
	if s == "" {
		return Either, nil
	}
	if i := slices.Index(preferenceNames(), s); i >= 0 {
		return Preference(i), nil
	}
	return Either, fmt.Errorf("%q is not any, prefer-ipv4, prefer-ipv6, ipv4 or ipv6", s)
}

// String is the inverse of ParsePreference.
func (p Preference) String() string {
	if names := preferenceNames(); int(p) < len(names) {
		return names[p]
	}
	return fmt.Sprintf("preference %d", uint8(p))
}

// allows returns the families that may be used at all.
func (p Preference) allows() Families {
	switch p {
	case OnlyIPv4:
		return IPv4
	case OnlyIPv6:
		return IPv6
	}
	return Both
}

// first returns the family to be tried before the other; none for no order.
func (p Preference) first() Families {
	switch p {
	case PreferIPv4:
		return IPv4
	case PreferIPv6:
		return IPv6
	}
	return 0
}

package route

import "net/netip"

// permissions say to which addresses DNS and address literals may lead.
type permissions struct {
	family   Family
	loopback bool
	private  bool
	shared   netip.Prefix
	nat64    netip.Prefix
}

func newPermissions(o Options) permissions {
	return permissions{
		family:   o.Family,
		loopback: o.AllowLoopback,
		private:  o.AllowPrivate,
		// RFC 6598, RFC 6052.
		shared: netip.MustParsePrefix("100.64.0.0/10"),
		nat64:  netip.MustParsePrefix("64:ff9b::/96"),
	}
}

// allows reports whether mail may go to addr.
func (p permissions) allows(addr netip.Addr) bool {
	if v4 := addr.Unmap().Is4(); v4 && p.family == OnlyIPv6 || !v4 && p.family == OnlyIPv4 {
		return false
	}
	addr = p.embedded(addr.Unmap())
	switch {
	case !addr.IsValid() || addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return false
	case p.isHere(addr):
		return p.loopback
	case addr.IsPrivate() || addr.IsLinkLocalUnicast() || p.shared.Contains(addr):
		return p.private
	}
	return true
}

// isHere reports whether addr leads back to this host. All of 0.0.0.0/8 does on
// common systems.
func (p permissions) isHere(addr netip.Addr) bool {
	return addr.IsLoopback() || addr.IsUnspecified() || addr.Is4() && addr.As4()[0] == 0
}

// embedded returns the IPv4 address inside a NAT64 one (RFC 6052), since that
// is where it leads.
func (p permissions) embedded(addr netip.Addr) netip.Addr {
	if !p.nat64.Contains(addr) {
		return addr
	}
	octets := addr.As16()
	return netip.AddrFrom4([4]byte(octets[12:]))
}

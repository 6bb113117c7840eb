package limit

import "net/netip"

// Client is whom an address stands for: itself, or the /64 that providers give
// to one subscriber (RFC 6177).
func Client(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr
	}
	network, err := addr.Prefix(64)
	if err != nil { // the zero Addr
		return addr
	}
	return network.Addr()
}

// Networks are a set of addresses.
type Networks []netip.Prefix

// Contain reports whether an address is in one of them.
func (n Networks) Contain(addr netip.Addr) bool {
	if len(n) == 0 {
		return false
	}
	addr = addr.Unmap().WithZone("")
	for _, network := range n {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

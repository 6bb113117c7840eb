package route

import (
	"net"
	"net/netip"
	"slices"

	"github.com/postrider-mta/postrider/internal/mail"
)

// self is under which names and addresses this host takes mail itself.
type self struct {
	names []mail.Domain
	addrs []netip.AddrPort
}

func newSelf(o Options) self {
	s := self{names: o.OwnNames}
	for _, addr := range o.Own {
		s.addrs = append(s.addrs, netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()))
	}
	return s
}

// hasAddr reports whether a connection to the address would be answered by
// ourselves.
func (s self) hasAddr(addr netip.AddrPort) bool {
	return slices.Contains(s.addrs, netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()))
}

func (s self) isHost(name mail.Domain, addrs []netip.AddrPort) bool {
	return slices.Contains(s.names, name) || slices.ContainsFunc(addrs, s.hasAddr)
}

// OwnAddrs lists the addresses under which the listeners are reached: for one
// on an unspecified address those of all interfaces, as they are now.
func OwnAddrs(listeners []netip.AddrPort) ([]netip.AddrPort, error) {
	var own []netip.AddrPort
	for _, listener := range listeners {
		if !listener.Addr().IsUnspecified() {
			own = append(own, listener)
			continue
		}
		interfaces, err := net.InterfaceAddrs()
		if err != nil {
			return nil, err
		}
		for _, network := range interfaces {
			prefix, err := netip.ParsePrefix(network.String())
			if err != nil {
				return nil, err
			}
			own = append(own, netip.AddrPortFrom(prefix.Addr(), listener.Port()))
		}
	}
	return own, nil
}

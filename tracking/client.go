package tracking

import (
	"net/http"
	"net/netip"
	"strings"
)

// client returns the address of whoever sent a request: the peer's, or, where
// the peer is a trusted proxy or comes over a unix socket, the right-most entry
// of X-Forwarded-For that is no trusted proxy. An entry that is no address ends
// the search, since nobody who is trusted wrote what is left of it; then, and
// where all are trusted, it is the last address that was found. The zero Addr
// says that there is none: a peer over a unix socket that tells nothing.
//
// Nothing of an address is logged or recorded.
func (t *Tracker) client(r *http.Request) netip.Addr {
	var client netip.Addr
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		client = plainAddr(peer.Addr())
		if !t.proxies.Contain(client) {
			return client
		}
	}
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			var entry string
			rest, entry, more = cutLast(rest)
			addr, ok := forwarded(entry)
			if !ok {
				return client
			}
			if client = addr; !t.proxies.Contain(addr) {
				return client
			}
		}
	}
	return client
}

// cutLast splits a list at its last comma.
func cutLast(list string) (before, last string, more bool) {
	comma := strings.LastIndexByte(list, ',')
	if comma < 0 {
		return "", list, false
	}
	return list[:comma], list[comma+1:], true
}

// forwarded reads an entry of X-Forwarded-For: an address, perhaps in brackets,
// perhaps with a port.
func forwarded(entry string) (netip.Addr, bool) {
	entry = strings.Trim(entry, " \t")
	if inner, ok := strings.CutPrefix(entry, "["); ok && strings.HasSuffix(inner, "]") {
		addr, err := netip.ParseAddr(inner[:len(inner)-1])
		return plainAddr(addr), err == nil && addr.Is6()
	}
	if addr, err := netip.ParseAddr(entry); err == nil {
		return plainAddr(addr), true
	}
	addr, err := netip.ParseAddrPort(entry)
	return plainAddr(addr.Addr()), err == nil
}

// plainAddr is an address as networks are written: IPv4 as such, without zone.
func plainAddr(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

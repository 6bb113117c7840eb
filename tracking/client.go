package tracking

import (
	"net/http"
	"net/netip"
)

// client is the address of whoever asks; the zero one where it is unknown. It
// is for looking at, and never written down.
func (t *Tracker) client(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}

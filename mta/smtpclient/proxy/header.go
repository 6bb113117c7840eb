package proxy

import (
	"io"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// writeHeader begins a connection to a proxy that connects from source to
// target. The port is left to the proxy.
func writeHeader(proxy io.Writer, source netip.Addr, target netip.AddrPort) error {
	header := proxyproto.HeaderProxyFromAddrs(2,
		net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), net.TCPAddrFromAddrPort(target))
	_, err := header.WriteTo(proxy)
	return err
}

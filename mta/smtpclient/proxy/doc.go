// Package proxy opens connections by way of a proxy, so that they leave from an
// address that is not this machine's: through a SOCKS5 server (RFC 1928), or
// through one that takes the PROXY protocol, version 2, and connects to where
// its header says.
//
// What fails is told apart: the proxy that cannot be used, which is the fault
// of our own end, and the target that cannot be reached through it.
package proxy

// Package limit bounds what one client of the tracker may take: requests in a
// second, and connections at once. A client is an IPv4 address or the /64 of an
// IPv6 one. Addresses are in memory alone, and forgotten as others come once they
// count no more.
package limit

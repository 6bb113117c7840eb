// Package limit bounds what one client of the tracker may take: requests in a
// second, and connections at once. A client is an IPv4 address or the /64 of an
// IPv6 one. Addresses are kept in memory alone, and no longer than they count.
package limit

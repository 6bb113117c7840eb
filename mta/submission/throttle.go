package submission

import (
	"net/netip"
	"sync"
	"time"
)

// sameClient makes one of all addresses that one client has: an IPv6 network
// of 64 bits is what providers give to each.
func sameClient(address netip.Addr) netip.Addr {
	if !address.Is6() {
		return address
	}
	network, err := address.Prefix(64)
	if err != nil {
		return address
	}
	return network.Addr()
}

// addressCounter counts open connections. An entry lives as long as its
// connections.
type addressCounter struct {
	mu    sync.Mutex
	total int
	open  map[netip.Addr]int
}

func newAddressCounter() *addressCounter {
	return &addressCounter{open: make(map[netip.Addr]int)}
}

// enter counts a connection until leave is called, and reports whether it is
// within the limits. Clients without an address (unix sockets) count only in
// the total.
func (c *addressCounter) enter(address netip.Addr, limits Limits) (leave func(), ok bool) {
	address = sameClient(address)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total++
	ok = c.total <= limits.Connections
	if address.IsValid() {
		c.open[address]++
		ok = ok && c.open[address] <= limits.ConnectionsPerIP
	}
	return func() { c.leave(address) }, ok
}

func (c *addressCounter) leave(address netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.open[address]--; c.open[address] <= 0 {
		delete(c.open, address)
	}
}

// maxFailing bounds how many addresses are watched for failed logins.
const maxFailing = 50_000

// failureWindow counts failed logins by address in windows that begin with
// the first failure.
type failureWindow struct {
	mu      sync.Mutex
	clients map[netip.Addr]failures
}

type failures struct {
	count int
	until time.Time
}

func newFailureWindow() *failureWindow {
	return &failureWindow{clients: make(map[netip.Addr]failures)}
}

func (f *failureWindow) blocked(address netip.Addr, limits Limits, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := f.clients[sameClient(address)]
	return now.Before(seen.until) && seen.count >= limits.AuthFailuresPerIP
}

func (f *failureWindow) add(address netip.Addr, limits Limits, now time.Time) {
	if !address.IsValid() {
		return
	}
	address = sameClient(address)
	f.mu.Lock()
	defer f.mu.Unlock()
	seen, found := f.clients[address]
	if !found && len(f.clients) >= maxFailing && !f.sweep(now) {
		return
	}
	if !now.Before(seen.until) {
		seen = failures{until: now.Add(limits.AuthWindow)}
	}
	seen.count++
	f.clients[address] = seen
}

// sweep forgets what is over, and reports whether that made room.
func (f *failureWindow) sweep(now time.Time) bool {
	for address, seen := range f.clients {
		if !now.Before(seen.until) {
			delete(f.clients, address)
		}
	}
	return len(f.clients) < maxFailing
}

package inbound

import (
	"net/netip"
	"sync"
	"time"
)

// maxClients bounds how many clients are counted; those beyond are let pass.
const maxClients = 20_000

// rates count the messages of each client in the minute.
type rates struct {
	limit int

	mu      sync.Mutex
	clients map[netip.Addr]int
	until   time.Time // when the minute is over
}

func newRates(limit int) *rates { return &rates{limit: limit, clients: make(map[netip.Addr]int)} }

// allow counts one message, and reports whether it is within the limit. An IPv6
// /64 is one client.
func (r *rates) allow(client netip.Addr, now time.Time) bool {
	if r.limit == 0 || !client.IsValid() {
		return true
	}
	if client.Is6() {
		if network, err := client.Prefix(64); err == nil {
			client = network.Addr()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !now.Before(r.until) {
		clear(r.clients)
		r.until = now.Add(time.Minute)
	}
	if _, counted := r.clients[client]; !counted && len(r.clients) >= maxClients {
		return true
	}
	r.clients[client]++
	return r.clients[client] <= r.limit
}

package testmx

import (
	"strings"
	"sync"
	"sync/atomic"
)

// Counters are figures since the start.
type Counters struct {
	// Connections accepted; Current are open now, Peak at most were.
	Connections int64 `json:"connections"`
	Current     int64 `json:"current"`
	Peak        int64 `json:"peak"`
	// Messages accepted, with Recipients and Bytes in all.
	Messages   int64 `json:"messages"`
	Recipients int64 `json:"recipients"`
	Bytes      int64 `json:"bytes"`
	// Refused counts answers of 4xx and 5xx.
	Refused int64 `json:"refused"`
	// Dropped counts connections that a rule ended.
	Dropped int64 `json:"dropped"`
	// TLS counts handshakes that succeeded.
	TLS int64 `json:"tls"`
	// Domains counts by the recipient's domain.
	Domains map[string]Domain `json:"domains"`
}

// Domain counts what was for one recipient domain.
type Domain struct {
	Accepted int64 `json:"accepted"`
	Refused  int64 `json:"refused"`
}

// maxDomains bounds the memory; later ones count under otherDomains.
const (
	maxDomains   = 10_000
	otherDomains = "(other)"
)

type counters struct {
	connections, current, peak, messages, recipients, bytes, refused, dropped, tls atomic.Int64

	mu      sync.Mutex
	domains map[string]*Domain
}

func (c *counters) connected() {
	c.connections.Add(1)
	now := c.current.Add(1)
	for {
		peak := c.peak.Load()
		if now <= peak || c.peak.CompareAndSwap(peak, now) {
			return
		}
	}
}

func (c *counters) disconnected() { c.current.Add(-1) }

func (c *counters) accepted(recipients []Recipient, size int64) {
	c.messages.Add(1)
	c.recipients.Add(int64(len(recipients)))
	c.bytes.Add(size)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range recipients {
		c.domain(r.Address).Accepted++
	}
}

func (c *counters) refusedRecipients(addresses ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, address := range addresses {
		c.domain(address).Refused++
	}
}

// domain is called under the lock.
func (c *counters) domain(address string) *Domain {
	name := domainOf(address)
	if d := c.domains[name]; d != nil {
		return d
	}
	if len(c.domains) >= maxDomains {
		name = otherDomains
		if d := c.domains[name]; d != nil {
			return d
		}
	}
	d := &Domain{}
	c.domains[name] = d
	return d
}

func domainOf(address string) string {
	return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
}

// Counters returns the figures of the moment.
func (s *Server) Counters() Counters {
	c := &s.counters
	out := Counters{
		Connections: c.connections.Load(), Current: c.current.Load(), Peak: c.peak.Load(),
		Messages: c.messages.Load(), Recipients: c.recipients.Load(), Bytes: c.bytes.Load(),
		Refused: c.refused.Load(), Dropped: c.dropped.Load(), TLS: c.tls.Load(),
		Domains: map[string]Domain{},
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, d := range c.domains {
		out.Domains[name] = *d
	}
	return out
}

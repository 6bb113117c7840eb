package limit

import (
	"net/netip"
	"sync"
	"time"
)

// shards keep requests from waiting for each other.
const shards = 64

// Rate bounds each client to so many requests a second, with a burst. It holds
// one time for each client that was seen lately: that at which all of its
// requests so far would have been due, had they come evenly (the generic cell
// rate algorithm). It is safe for concurrent use.
type Rate struct {
	exempt Networks
	// interval is between even requests, tolerance how far ahead of them a
	// client may be.
	interval, tolerance time.Duration
	limit               int
	shards              [shards]shard
}

type shard struct {
	mutex sync.Mutex
	due   map[netip.Addr]time.Time
	// reaped is when those that count no longer were last removed.
	reaped time.Time
}

// RateOptions of a Rate.
type RateOptions struct {
	// PerSecond and Burst are of one client; zero or less for no limit.
	PerSecond float64
	Burst     int
	// Exempt networks have no limit.
	Exempt Networks
	// Clients bounds how many are known at a time; zero for 200,000. Further
	// ones are not limited.
	Clients int
}

// NewRate returns nil, which allows all, where there is no limit.
func NewRate(o RateOptions) *Rate {
	if o.PerSecond <= 0 || o.Burst <= 0 {
		return nil
	}
	if o.Clients <= 0 {
		o.Clients = 200_000
	}
	interval := time.Duration(float64(time.Second) / o.PerSecond)
	r := &Rate{
		exempt: o.Exempt, interval: interval, tolerance: interval * time.Duration(o.Burst-1),
		limit: (o.Clients + shards - 1) / shards,
	}
	for i := range r.shards {
		r.shards[i].due = map[netip.Addr]time.Time{}
	}
	return r
}

// Allow counts a request at a time. Where it is one too many, it returns how
// long until the next may come; otherwise zero. The zero Addr is nobody's, and
// has no limit.
func (r *Rate) Allow(addr netip.Addr, now time.Time) time.Duration {
	if r == nil || !addr.IsValid() || r.exempt.Contain(addr) {
		return 0
	}
	client := Client(addr)
	s := &r.shards[spread(client)]
	s.mutex.Lock()
	defer s.mutex.Unlock()
	due, known := s.due[client]
	if !known && !s.room(r.limit, now) {
		return 0
	}
	if due.Before(now) {
		due = now
	}
	if ahead := due.Sub(now); ahead > r.tolerance {
		return ahead - r.tolerance
	}
	s.due[client] = due.Add(r.interval)
	return 0
}

// room reports whether another client can be remembered. It forgets those of
// whom nothing counts any more, each second at most, so that a flood from many
// addresses does not cost a search each.
func (s *shard) room(limit int, now time.Time) bool {
	if now.Sub(s.reaped) >= time.Second || now.Before(s.reaped) {
		s.reaped = now
		for client, due := range s.due {
			if !due.After(now) {
				delete(s.due, client)
			}
		}
	}
	return len(s.due) < limit
}

// Known is how many clients are remembered.
func (r *Rate) Known() (n int) {
	if r == nil {
		return 0
	}
	for i := range r.shards {
		s := &r.shards[i]
		s.mutex.Lock()
		n += len(s.due)
		s.mutex.Unlock()
	}
	return n
}

// spread chooses a shard by the part of an address that differs most.
func spread(client netip.Addr) int {
	octets := client.As16()
	sum := uint32(0)
	for _, octet := range octets {
		sum = sum*31 + uint32(octet)
	}
	return int(sum % shards)
}

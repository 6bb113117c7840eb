package limit

import (
	"net/netip"
	"sync"
	"sync/atomic"
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
	// began is what times are reckoned from: by the monotonic clock, which
	// nobody sets.
	began  time.Time
	shards [shards]shard
}

// shard holds the times of some clients. Those who are known take no lock that
// others wait for.
type shard struct {
	mutex sync.RWMutex
	due   map[netip.Addr]*moment
	// reaped is when those that count no longer were last removed.
	reaped int64
}

// moment is a time in nanoseconds since Rate.began.
type moment struct{ atomic.Int64 }

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
		limit: (o.Clients + shards - 1) / shards, began: time.Now(),
	}
	for i := range r.shards {
		r.shards[i].due = map[netip.Addr]*moment{}
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
	at := int64(now.Sub(r.began))
	due := r.shards[spread(client)].of(client, r.limit, at)
	if due == nil {
		return 0
	}
	for {
		before := due.Load()
		next := max(before, at)
		if ahead := time.Duration(next - at); ahead > r.tolerance {
			return ahead - r.tolerance
		}
		if due.CompareAndSwap(before, next+int64(r.interval)) {
			return 0
		}
	}
}

// of returns a client's time; nil where no other client can be remembered.
func (s *shard) of(client netip.Addr, limit int, now int64) *moment {
	s.mutex.RLock()
	due := s.due[client]
	s.mutex.RUnlock()
	if due != nil {
		return due
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if due := s.due[client]; due != nil {
		return due
	}
	s.reap(now)
	if len(s.due) >= limit {
		return nil
	}
	due = &moment{}
	due.Store(now)
	s.due[client] = due
	return due
}

// reap forgets the clients of whom nothing counts any more, each second at
// most, so that a flood from many addresses does not cost a search each. A
// request that is being counted meanwhile may be forgotten with its client.
func (s *shard) reap(now int64) {
	if since := now - s.reaped; since >= 0 && since < int64(time.Second) {
		return
	}
	s.reaped = now
	for client, due := range s.due {
		if due.Load() <= now {
			delete(s.due, client)
		}
	}
}

// Known is how many clients are remembered.
func (r *Rate) Known() (n int) {
	if r == nil {
		return 0
	}
	for i := range r.shards {
		s := &r.shards[i]
		s.mutex.RLock()
		n += len(s.due)
		s.mutex.RUnlock()
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

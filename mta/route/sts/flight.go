package sts

import (
	"context"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// flight is one fetch under way: there is never more than one for a domain.
type flight struct {
	begun time.Time
	done  chan struct{}
}

// wait ends with the flight, with ctx, or when the flight has taken longer than
// patience, whoever began it.
func (f *flight) wait(ctx context.Context, patience time.Duration) {
	timer := time.NewTimer(time.Until(f.begun.Add(patience)))
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// join returns the flight for domain, a new one where there is none; nil after
// Close. The caller holds c.mu.
func (c *Cache) join(domain mail.Domain, id string, background bool) *flight {
	if f, ok := c.flights[domain]; ok || c.closed {
		return f
	}
	f := &flight{begun: time.Now(), done: make(chan struct{})}
	c.flights[domain] = f
	c.work.Go(func() {
		defer close(f.done)
		c.fly(domain, id, background)
		c.mu.Lock()
		delete(c.flights, domain)
		c.mu.Unlock()
	})
	return f
}

// fly fetches one policy and notes what came of it.
func (c *Cache) fly(domain mail.Domain, id string, background bool) {
	if background {
		if !take(c.ctx, c.background) {
			return
		}
		defer func() { <-c.background }()
	}
	if !take(c.ctx, c.slots) {
		return
	}
	defer func() { <-c.slots }()
	policy, err := c.options.Fetcher.Fetch(c.ctx, domain)
	if c.ctx.Err() != nil {
		return // it says nothing of the policy host
	}
	c.settle(domain, id, policy, err, time.Now())
}

func take(ctx context.Context, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// settle notes the end of a fetch. A policy that holds stays where a newer one
// could not be had (RFC 8461 section 5.1).
func (c *Cache) settle(domain mail.Domain, id string, policy Policy, failure error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Fetches++
	if failure == nil {
		c.entries.put(newEntry(domain, id, policy, now, c.options.Refresh))
		c.changed = true
		return
	}
	c.stats.Failures++
	e, ok := c.entries.peek(domain)
	if !ok {
		e.domain = domain
	}
	if e.failedID != id {
		e.failedID, e.failures = id, 0
	}
	e.failure = failure
	e.next = now.Add(c.backOff(e.failures))
	e.failures++
	c.entries.put(e)
}

// backOff spaces the fetches of what fails.
func (c *Cache) backOff(failures int) time.Duration {
	pause := c.options.RetryAfter
	for range failures {
		if pause >= c.options.Refresh {
			break
		}
		pause *= 2
	}
	return min(pause, max(c.options.Refresh, c.options.RetryAfter))
}

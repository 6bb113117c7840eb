package sts

import (
	"context"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// maintain saves, refreshes and forgets until the cache is closed.
func (c *Cache) maintain() {
	saves, sweeps := time.NewTicker(c.options.SaveEvery), time.NewTicker(c.options.Sweep)
	defer saves.Stop()
	defer sweeps.Stop()
	for {
		select {
		case <-saves.C:
			c.save()
		case <-sweeps.C:
			for _, domain := range c.sweep(time.Now()) {
				c.work.Go(func() { c.refresh(domain) })
			}
		case <-c.ctx.Done():
			return
		}
	}
}

// maxRefresh bounds the refreshes that one sweep begins.
const maxRefresh = 1000

// sweep forgets what has ended, and returns the domains whose policies are to
// be refreshed although no mail asks for it: a policy that is allowed to end
// leaves a gap for an attacker (RFC 8461 section 10.2).
func (c *Cache) sweep(now time.Time) []mail.Domain {
	c.mu.Lock()
	defer c.mu.Unlock()
	var due []mail.Domain
	for _, e := range c.entries.all() {
		switch {
		case !e.holds(now) && now.After(e.next):
			c.entries.drop(e.domain)
			c.changed = true
		case e.holds(now) && now.After(e.next) && len(due) < maxRefresh:
			due = append(due, e.domain)
		}
	}
	return due
}

// refresh fetches a policy anew where its domain still says that it has one.
func (c *Cache) refresh(domain mail.Domain) {
	if !take(c.ctx, c.background) {
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.options.Patience)
	id, err := c.record(ctx, domain)
	cancel()
	<-c.background
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.postpone(domain, time.Now())
		return
	}
	c.join(domain, id, true)
}

// postpone looks at a domain again when the next retry would be. The caller
// holds c.mu.
func (c *Cache) postpone(domain mail.Domain, now time.Time) {
	if e, ok := c.entries.peek(domain); ok {
		e.next = now.Add(c.backOff(e.failures))
		e.failures++
		c.entries.put(e)
	}
}

package delivery

import (
	"sync"
	"sync/atomic"
)

// capacity bounds the connections to all sites together. Sites that find none
// left wait in line.
type capacity struct {
	limit int
	// waiting is the length of line.
	waiting atomic.Int64

	mu   sync.Mutex
	open int
	line []*site
	in   map[*site]bool
	// idle workers, the longest idle first, may be asked to go.
	idle []*worker
}

func newCapacity(limit int) *capacity {
	return &capacity{limit: limit, in: map[*site]bool{}}
}

// acquire takes one connection for s, or puts s in line and returns false.
func (c *capacity) acquire(s *site) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open < c.limit {
		c.open++
		return true
	}
	if c.in[s] {
		return false
	}
	c.in[s] = true
	c.line = append(c.line, s)
	c.waiting.Store(int64(len(c.line)))
	if len(c.idle) > 0 {
		c.idle[0].dismiss()
		c.idle = c.idle[1:]
	}
	return false
}

// release gives one connection back.
func (c *capacity) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
}

// turn takes the site next in line out of it, once there is a connection for
// it; nil where there is none, or no site.
func (c *capacity) turn() *site {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.line) == 0 || c.open >= c.limit {
		return nil
	}
	s := c.line[0]
	c.line = c.line[1:]
	c.waiting.Store(int64(len(c.line)))
	delete(c.in, s)
	return s
}

// pressed reports that a site waits in line.
func (c *capacity) pressed() bool { return c.waiting.Load() > 0 }

func (c *capacity) rest(w *worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, w)
}

func (c *capacity) unrest(w *worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.idle {
		if other == w {
			c.idle = append(c.idle[:i], c.idle[i+1:]...)
			return
		}
	}
}

func (c *capacity) connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

package route

import (
	"container/list"
	"sync"
	"time"
)

// cache holds the most recently used answers. Old ones stay until they are
// pushed out, so that they can serve while DNS is down.
type cache struct {
	limit   int
	mu      sync.Mutex
	entries map[question]*list.Element
	recent  *list.List
}

// entry is an answer and the times that rule its use.
type entry struct {
	question question
	answer   answer
	// failure is why there is no answer.
	failure error
	// fresh until this time.
	fresh time.Time
	// stale answers serve until this time, when DNS fails.
	stale time.Time
}

func newCache(limit int) *cache {
	return &cache{limit: limit, entries: make(map[question]*list.Element), recent: list.New()}
}

// get returns what is known of q, fresh or not.
func (c *cache) get(q question) (entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[q]
	if !ok {
		return entry{}, false
	}
	c.recent.MoveToFront(element)
	return *element.Value.(*entry), true
}

// put remembers e, pushing out what was used longest ago.
func (c *cache) put(e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.entries[e.question]; ok {
		*element.Value.(*entry) = e
		c.recent.MoveToFront(element)
		return
	}
	c.entries[e.question] = c.recent.PushFront(&e)
	for len(c.entries) > c.limit {
		oldest := c.recent.Back()
		delete(c.entries, oldest.Value.(*entry).question)
		c.recent.Remove(oldest)
	}
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

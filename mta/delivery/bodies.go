package delivery

import (
	"container/list"
	"context"
	"sync"

	"github.com/postrider-mta/postrider/queue"
)

// bodies keeps what was last read, so that a campaign's one body is read once
// for all its recipients. Its size is bounded in octets.
type bodies struct {
	store Store
	limit int

	mu    sync.Mutex
	size  int
	byID  map[queue.ID]*list.Element
	order *list.List // of *body, the latest used first
}

// body is being read until ready is closed.
type body struct {
	id    queue.ID
	ready chan struct{}
	bytes []byte
	err   error
	// counted in the size; guarded by bodies.mu.
	counted bool
}

func newBodies(store Store, limit int) *bodies {
	return &bodies{store: store, limit: limit, byID: map[queue.ID]*list.Element{}, order: list.New()}
}

// get returns the body of m, which must not be changed.
func (c *bodies) get(ctx context.Context, m *queue.Message) ([]byte, error) {
	c.mu.Lock()
	if found, ok := c.byID[m.ID]; ok {
		c.order.MoveToFront(found)
		c.mu.Unlock()
		return found.Value.(*body).wait(ctx)
	}
	b := &body{id: m.ID, ready: make(chan struct{})}
	c.byID[m.ID] = c.order.PushFront(b)
	c.mu.Unlock()

	b.bytes, b.err = c.store.Body(ctx, m)
	c.keep(b)
	close(b.ready)
	return b.bytes, b.err
}

func (b *body) wait(ctx context.Context) ([]byte, error) {
	select {
	case <-b.ready:
		return b.bytes, b.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keep counts b and makes room for it; an error is not kept.
func (c *bodies) keep(b *body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.byID[b.id]
	if element == nil || element.Value != any(b) {
		return // had to make room before it was read
	}
	c.size += len(b.bytes)
	b.counted = true
	if b.err != nil {
		c.evict(element)
	}
	for c.size > c.limit {
		oldest := c.order.Back()
		if oldest == nil {
			return
		}
		c.evict(oldest)
	}
}

func (c *bodies) evict(e *list.Element) {
	b := e.Value.(*body)
	c.order.Remove(e)
	delete(c.byID, b.id)
	if b.counted {
		c.size -= len(b.bytes)
	}
}

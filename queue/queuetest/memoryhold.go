package queuetest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/postrider-mta/postrider/queue"
)

// Hold implements queue.Store.
func (m *Memory) Hold(_ context.Context, h queue.Hold) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return queue.ErrClosed
	}
	m.holds[h.ID] = h
	return nil
}

// Release implements queue.Store.
func (m *Memory) Release(_ context.Context, id queue.ID) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, queue.ErrClosed
	}
	h, ok := m.holds[id]
	if !ok {
		return 0, queue.ErrNotFound
	}
	delete(m.holds, id)
	m.changed()
	return len(m.waiting(h.Selector)), nil
}

// Holds implements queue.Store.
func (m *Memory) Holds(context.Context) ([]queue.Hold, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, queue.ErrClosed
	}
	return slices.SortedFunc(maps.Values(m.holds), func(a, b queue.Hold) int { return bytes.Compare(a.ID[:], b.ID[:]) }), nil
}

// Usage implements queue.Store.
func (m *Memory) Usage(tenant string) queue.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	var u queue.Usage
	seen := map[queue.ID]bool{}
	for id, h := range m.owed {
		if h.Message.Tenant == tenant && !seen[id.Message] {
			seen[id.Message] = true
			u.Messages++
			u.Bytes += h.Message.Size
		}
	}
	return u
}

// heldBy returns the reason of a hold that matches; empty for none.
func (m *Memory) heldBy(h *held) string {
	for _, hold := range m.holds {
		if hold.Selector.Match(h.Message, h.Recipient.Address) {
			return hold.Reason
		}
	}
	return ""
}

// queueHeld reports a hold on all of a queue.
func (m *Memory) queueHeld(key queue.Key) bool {
	for _, hold := range m.holds {
		if hold.Selector.OfQueues() && hold.Selector.MatchKey(key) {
			return true
		}
	}
	return false
}

// offered returns when a recipient may be offered, as far as is known at a
// time.
func (m *Memory) offered(h *held, at time.Time) time.Time {
	end := h.Message.Expires
	if end.IsZero() {
		end = at.Add(24 * time.Hour)
	}
	if m.heldBy(h) != "" {
		return end
	}
	due := h.Due
	if opens := m.opens(h.Key(), at); opens.After(due) {
		due = minTime(opens, end)
	}
	return due
}

func (m *Memory) opens(key queue.Key, at time.Time) time.Time {
	if m.Opens == nil {
		return time.Time{}
	}
	if opens := m.Opens(key, at); opens.After(at) {
		return opens
	}
	return time.Time{}
}

package queuetest

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryHarness holds a Memory, with a fault where the suite itself is tested.
type memoryHarness struct {
	memory *Memory
	faulty func(*Memory) queue.Store
	store  queue.Store
}

func openMemory(*testing.T) Harness { return newHarness(nil) }

func newHarness(faulty func(*Memory) queue.Store) *memoryHarness {
	h := &memoryHarness{faulty: faulty}
	h.use(NewMemory())
	return h
}

func (h *memoryHarness) use(m *Memory) {
	h.memory, h.store = m, m
	if h.faulty != nil {
		h.store = h.faulty(m)
	}
}

func (h *memoryHarness) Store() queue.Store { return h.store }

func (h *memoryHarness) SetOpens(_ *testing.T, opens func(queue.Key, time.Time) time.Time) {
	h.memory.Opens = opens
}

func (h *memoryHarness) Reopen(*testing.T) { h.end(false) }

func (h *memoryHarness) Crash(*testing.T) bool {
	h.end(true)
	return true
}

func (h *memoryHarness) end(crashed bool) {
	again := h.memory.Reopened(crashed)
	if f, ok := h.store.(interface{ ended(again *Memory) }); ok {
		f.ended(again)
	}
	h.use(again)
}

func (h *memoryHarness) Events(*testing.T) []event.Event { return h.memory.Events() }

func (h *memoryHarness) Close(t *testing.T) {
	if err := h.store.Close(); err != nil {
		t.Error(err)
	}
}

func TestMemory(t *testing.T) { Run(t, openMemory) }

func TestMemoryModel(t *testing.T) { RunModel(t, openMemory) }

package queuetest

import (
	"slices"
	"sync"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

func (m *model) cancel(r *rapid.T) {
	s := m.drawSelector(r)
	matching := m.waiting(s)
	n, err := m.Store().Cancel(r.Context(), s, "withdrawn")
	m.must("Cancel", err)
	if n != len(matching) {
		m.Fatalf("Cancel(%+v) counted %d, want %d", s, n, len(matching))
	}
	for _, id := range matching {
		m.dropped(id)
	}
	for _, o := range m.owed { // what is left of them is leased
		o.cancelled = o.cancelled || s.Match(o.message, o.recipient.Address)
	}
}

func (m *model) dropped(id queue.RecipientID) {
	delete(m.owed, id)
	m.happened(id, event.Event{Type: event.Dropped})
}

// crashInCancel lets a crash meet a cancel anywhere. The same cancel after it
// ends what is left, if anything is: each recipient once, with one event.
func (m *model) crashInCancel(r *rapid.T) {
	s := m.drawSelector(r)
	store := m.Store()
	var wait sync.WaitGroup
	wait.Go(func() { _, _ = store.Cancel(r.Context(), s, "withdrawn") })
	m.crashNow(r)
	wait.Wait()
	_, err := m.Store().Cancel(r.Context(), s, "withdrawn")
	m.must("Cancel", err)
	for _, id := range m.waiting(s) {
		m.dropped(id)
	}
}

// back lets a leased recipient wait again, or end if it is cancelled.
func (m *model) back(id queue.RecipientID) {
	o := m.owed[id]
	o.leased = false
	if o.cancelled {
		m.dropped(id)
		m.ending = append(m.ending, id)
	}
}

func (m *model) allBack() {
	for _, d := range m.leased {
		m.back(d.ID())
	}
	m.leased = nil
}

// awaitEnds waits until the store has ended what came back after a cancel.
func (m *model) awaitEnds(r *rapid.T) {
	for deadline := time.Now().Add(m.patience); len(m.ending) > 0; time.Sleep(time.Millisecond) {
		all, err := listAll(r.Context(), m.Store(), queue.Selector{}, 100)
		m.must("List", err)
		m.ending = slices.DeleteFunc(m.ending, func(id queue.RecipientID) bool {
			return !slices.ContainsFunc(all, func(e queue.Entry) bool { return entryID(e) == id })
		})
		if time.Now().After(deadline) {
			m.Fatalf("%s came back after its cancel, and is owed after all that time", m.ending[0])
		}
	}
}

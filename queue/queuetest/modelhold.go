package queuetest

import (
	"strconv"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/queue"
)

// heldReason is the same for all holds of a model, as any of several may be
// shown.
const heldReason = "the model holds it"

func (m *model) hold(r *rapid.T) {
	if len(m.holds) >= 3 {
		r.Skip("enough is held")
	}
	h := queue.Hold{ID: queue.NewID(now()), Selector: m.drawSelector(r), Reason: heldReason, Since: now()}
	m.must("Hold", m.Store().Hold(r.Context(), h))
	m.holds[h.ID] = h
}

func (m *model) release(r *rapid.T) {
	if len(m.holds) == 0 {
		r.Skip("nothing is held")
	}
	all, err := m.Store().Holds(r.Context())
	m.must("Holds", err)
	if len(all) != len(m.holds) {
		m.Fatalf("%d holds, want %d", len(all), len(m.holds))
	}
	h := all[rapid.IntRange(0, len(all)-1).Draw(r, "hold")]
	if h != m.holds[h.ID] {
		m.Fatalf("hold %+v, want %+v", h, m.holds[h.ID])
	}
	n, err := m.Store().Release(r.Context(), h.ID)
	m.must("Release", err)
	if want := len(m.waiting(h.Selector)); n != want {
		m.Fatalf("Release counted %d, want %d", n, want)
	}
	delete(m.holds, h.ID)
}

func (m *model) heldBy(o *owed) string {
	for _, h := range m.holds {
		if h.Selector.Match(o.message, o.recipient.Address) {
			return heldReason
		}
	}
	return ""
}

func (m *model) queueHeld(key queue.Key) bool {
	for _, h := range m.holds {
		if h.Selector.OfQueues() && h.Selector.MatchKey(key) {
			return true
		}
	}
	return false
}

func (m *model) checkUsage() {
	want := map[string]queue.Usage{"acme": {}, "rival": {}}
	seen := map[queue.ID]bool{}
	for id, o := range m.owed {
		if !seen[id.Message] {
			seen[id.Message] = true
			u := want[o.message.Tenant]
			want[o.message.Tenant] = queue.Usage{Messages: u.Messages + 1, Bytes: u.Bytes + o.message.Size}
		}
	}
	for tenant, u := range want {
		if got := m.Store().Usage(tenant); got != u {
			m.Fatalf("usage of %s is %+v, want %+v (%s messages in all)", tenant, got, u, strconv.Itoa(len(seen)))
		}
	}
}

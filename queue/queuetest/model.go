package queuetest

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// RunModel drives a store and a simple model of it through the same random
// operations, crashes included, and compares all that can be seen of the two
// after each.
func RunModel(t *testing.T, open func(t *testing.T) Harness) { runModel(t, open, patience) }

func runModel(t *testing.T, open func(t *testing.T) Harness, patience time.Duration) {
	rapid.Check(t, func(r *rapid.T) {
		h := open(t)
		defer h.Close(t)
		m := &model{T: r, outer: t, Harness: h, patience: patience, owed: map[queue.RecipientID]*owed{}, histories: map[queue.RecipientID][]string{}, holds: map[queue.ID]queue.Hold{}}
		defer m.returnAll()
		actions := map[string]func(*rapid.T){
			"accept": m.accept, "next": m.next, "settle": m.settle, "defer": m.deferSome, "return": m.giveBack,
			"cancel": m.cancel, "retry": m.retry, "hold": m.hold, "release": m.release, "record": m.record, "reopen": m.reopen, "crash": m.crash, "": m.check,
		}
		r.Repeat(actions)
	})
}

// model is what the store ought to hold.
type model struct {
	*rapid.T
	outer *testing.T
	Harness
	patience  time.Duration
	owed      map[queue.RecipientID]*owed
	leased    []*queue.Delivery
	histories map[queue.RecipientID][]string // types of events
	holds     map[queue.ID]queue.Hold
	records   int
	// ending are those that the store is about to end, as they came back after
	// a cancel.
	ending []queue.RecipientID
}

// owed is one recipient in the model. Times are far from now, so that nothing
// becomes due in the middle of a comparison.
type owed struct {
	message   *queue.Message
	recipient mail.Recipient
	attempts  int
	due       time.Time
	leased    bool
	// cancelled: it ends when it comes back to wait.
	cancelled bool
	last      *event.Event
	// blurred says that a restart may have put it off by a little, moved that
	// due is some time before now.
	blurred, moved bool
}

func (o *owed) key() queue.Key {
	return queue.Key{Tenant: o.message.Tenant, Stream: o.message.Stream, Domain: o.recipient.Address.Domain()}
}

func (o *owed) isDue() bool { return !o.due.After(time.Now()) }

func modelDomains() []string { return []string{"one.example", "two.example"} }

func (m *model) must(what string, err error) {
	m.Helper()
	if err != nil {
		m.Fatalf("%s: %v", what, err)
	}
}

func (m *model) drawKey(r *rapid.T) queue.Key {
	return queue.Key{
		Tenant: rapid.SampledFrom([]string{"acme", "rival"}).Draw(r, "tenant"), Stream: "transactional",
		Domain: mail.Domain(rapid.SampledFrom(modelDomains()).Draw(r, "domain")),
	}
}

func (m *model) drawSubmission(r *rapid.T) *queue.Submission {
	at := now().Add(-time.Duration(rapid.IntRange(0, 1000).Draw(r, "age")) * time.Second)
	s := &queue.Submission{Message: queue.Message{
		ID: queue.NewID(at), Tenant: rapid.SampledFrom([]string{"acme", "rival"}).Draw(r, "tenant"), Stream: "transactional",
		Campaign: rapid.SampledFrom([]string{"", "spring"}).Draw(r, "campaign"), Accepted: at, Expires: at.Add(3 * time.Hour),
	}}
	s.Body = rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(r, "body")
	s.Message.Size = int64(len(s.Body))
	if rapid.Bool().Draw(r, "scheduled") {
		s.Message.NotBefore = at.Add(90 * time.Minute)
	}
	for range rapid.IntRange(1, 4).Draw(r, "recipients") {
		domain := rapid.SampledFrom(modelDomains()).Draw(r, "domain")
		address, err := mail.ParseAddress("reader" + strconv.Itoa(rapid.IntRange(0, 2).Draw(r, "reader")) + "@" + domain)
		m.must("address", err)
		s.Recipients = append(s.Recipients, mail.Recipient{Address: address})
	}
	return s
}

func (m *model) accept(r *rapid.T) {
	s := m.drawSubmission(r)
	m.must("Accept", m.Store().Accept(r.Context(), s))
	due := s.Message.Accepted
	if s.Message.NotBefore.After(due) {
		due = s.Message.NotBefore
	}
	for i, recipient := range s.Recipients {
		id := queue.RecipientID{Message: s.Message.ID, Index: i}
		m.owed[id] = &owed{message: &s.Message, recipient: recipient, due: due}
		m.happened(id, queue.AcceptedEvent(&s.Message, i, recipient.Address))
	}
}

func (m *model) happened(id queue.RecipientID, e event.Event) {
	m.histories[id] = append(m.histories[id], string(e.Type))
}

func (m *model) next(r *rapid.T) {
	key, limit := m.drawKey(r), rapid.IntRange(1, 4).Draw(r, "limit")
	due, sure := 0, 0
	for _, o := range m.owed {
		if o.key() == key && !o.leased && o.isDue() && m.heldBy(o) == "" {
			due++
			if !o.blurred {
				sure++
			}
		}
	}
	got, err := m.Store().Next(r.Context(), key, limit)
	m.must("Next", err)
	if len(got) > min(limit, due) || len(got) < min(limit, sure) {
		m.Fatalf("Next gave %d of at most %d; %d are due, %d of them surely", len(got), limit, due, sure)
	}
	for i, d := range got {
		if i > 0 && d.Due.Before(got[i-1].Due) {
			m.Fatalf("Next gave one due %s after one due %s", d.Due, got[i-1].Due)
		}
		m.lease(r, key, d)
	}
}

func (m *model) lease(r *rapid.T, key queue.Key, d *queue.Delivery) {
	o := m.owed[d.ID()]
	if o == nil || o.leased || m.heldBy(o) != "" || o.key() != key || d.Attempts != o.attempts || d.Recipient != o.recipient {
		m.Fatalf("Next gave %s with %d attempts; the model has %+v", d.ID(), d.Attempts, o)
	}
	body, err := m.Store().Body(r.Context(), d.Message)
	m.must("Body", err)
	if int64(len(body)) != o.message.Size {
		m.Fatalf("body of %d octets, want %d", len(body), o.message.Size)
	}
	o.leased = true
	m.leased = append(m.leased, d)
}

// drawLeased takes some of those leased out of the model's hands.
func (m *model) drawLeased(r *rapid.T) []*queue.Delivery {
	if len(m.leased) == 0 {
		r.Skip("nothing is leased")
	}
	m.leased = rapid.Permutation(m.leased).Draw(r, "order")
	n := rapid.IntRange(1, len(m.leased)).Draw(r, "how many")
	some := slices.Clone(m.leased[:n])
	m.leased = slices.Clone(m.leased[n:])
	return some
}

func (m *model) settle(r *rapid.T) {
	some := m.drawLeased(r)
	outcomes := make([]queue.Outcome, len(some))
	for i, d := range some {
		kind := rapid.SampledFrom([]event.Type{event.Delivered, event.Bounced, event.Expired, event.Dropped}).Draw(r, "kind")
		outcomes[i] = outcome(d, kind)
		delete(m.owed, d.ID())
		m.happened(d.ID(), outcomes[i].Event)
	}
	m.must("Settle", m.Store().Settle(r.Context(), outcomes))
}

func (m *model) deferSome(r *rapid.T) {
	some := m.drawLeased(r)
	deferrals := make([]queue.Deferral, len(some))
	for i, d := range some {
		minutes := rapid.SampledFrom([]int{-2, -1, 60, 61, 600}).Draw(r, "minutes")
		x := deferral(d, now().Add(time.Duration(minutes)*time.Minute))
		deferrals[i] = x
		o := m.owed[d.ID()]
		o.blurred, o.moved, o.last = false, false, &x.Event
		o.attempts++
		o.due = minTime(x.Until, o.message.Expires)
		m.happened(d.ID(), x.Event)
		m.back(d.ID())
	}
	m.must("Defer", m.Store().Defer(r.Context(), deferrals))
}

func (m *model) giveBack(r *rapid.T) {
	some := m.drawLeased(r)
	for _, d := range some {
		m.back(d.ID())
	}
	m.Store().Return(some)
}

func (m *model) returnAll() {
	m.Store().Return(m.leased)
	m.allBack()
}

func (m *model) drawSelector(r *rapid.T) queue.Selector {
	s := queue.Selector{
		Tenant: rapid.SampledFrom([]string{"", "acme"}).Draw(r, "tenant"), Stream: rapid.SampledFrom([]string{"", "transactional", "marketing"}).Draw(r, "stream"),
		Campaign: rapid.SampledFrom([]string{"", "spring"}).Draw(r, "campaign"),
		Domain:   mail.Domain(rapid.SampledFrom([]string{"", "one.example"}).Draw(r, "domain")),
	}
	if owed := m.sorted(); len(owed) > 0 && rapid.Bool().Draw(r, "one message") {
		s.Message = rapid.SampledFrom(owed).Draw(r, "message").Message
	}
	return s
}

func (m *model) sorted() []queue.RecipientID {
	var all []queue.RecipientID
	for id := range m.owed {
		all = append(all, id)
	}
	slices.SortFunc(all, compareIDs)
	return all
}

func (m *model) waiting(s queue.Selector) []queue.RecipientID {
	return slices.DeleteFunc(m.sorted(), func(id queue.RecipientID) bool {
		o := m.owed[id]
		return o.leased || !s.Match(o.message, o.recipient.Address)
	})
}

func (m *model) retry(r *rapid.T) {
	s := m.drawSelector(r)
	_, err := m.Store().Retry(r.Context(), s)
	m.must("Retry", err)
	for _, id := range m.waiting(s) {
		o := m.owed[id]
		o.due = minTime(o.due, time.Now())
		o.blurred, o.moved = false, true
	}
}

func (m *model) record(r *rapid.T) {
	e := event.Event{ID: "hit-" + strconv.Itoa(m.records), Type: event.Opened, Time: now(), Message: queue.ID{}.String(), Index: m.records}
	m.records++
	m.must("Record", m.Store().Record(r.Context(), []event.Event{e}))
	m.happened(queue.RecipientID{Index: e.Index}, e)
}

func (m *model) reopen(*rapid.T) {
	m.returnAll()
	m.Reopen(m.outer)
	m.blur()
}

func (m *model) crash(r *rapid.T) {
	if rapid.IntRange(0, 2).Draw(r, "in a cancel") == 1 {
		m.crashInCancel(r)
		return
	}
	m.crashNow(r)
}

func (m *model) crashNow(r *rapid.T) {
	if !m.Crash(m.outer) {
		r.Skip("this store's harness cannot crash")
	}
	m.allBack()
	m.blur()
}

// blur takes account of the pause that a restart may add.
func (m *model) blur() {
	for _, o := range m.owed {
		if o.isDue() {
			o.blurred, o.moved = true, true
		}
	}
}

func (m *model) check(r *rapid.T) {
	m.awaitEnds(r)
	entries, err := listAll(r.Context(), m.Store(), queue.Selector{}, 5)
	m.must("List", err)
	want := m.sorted()
	if len(entries) != len(want) {
		m.Fatalf("List shows %d, want %d", len(entries), len(want))
	}
	for i, e := range entries {
		m.checkEntry(want[i], e)
	}
	m.checkQueues(r)
	m.checkEvents()
}

func (m *model) checkEntry(id queue.RecipientID, e queue.Entry) {
	o := m.owed[id]
	if entryID(e) != id || e.Attempts != o.attempts || e.Leased != o.leased || e.Recipient != o.recipient ||
		e.Held != m.heldBy(o) || (e.Last == nil) != (o.last == nil) || e.Last != nil && e.Last.ID != o.last.ID {
		m.Fatalf("List shows %s: %+v, want %s: %+v", entryID(e), e, id, o)
	}
	if !o.moved && !o.leased && e.Due.Sub(o.due).Abs() > time.Minute {
		m.Fatalf("%s is due %s, want %s", id, e.Due, o.due)
	}
}

func (m *model) checkQueues(r *rapid.T) {
	want := map[queue.Key]*queue.Status{}
	messages := map[queue.ID]bool{}
	for id, o := range m.owed {
		messages[id.Message] = true
		s := want[o.key()]
		if s == nil {
			s = &queue.Status{Key: o.key(), Oldest: o.message.Accepted}
			want[o.key()] = s
		}
		s.Waiting++
		if o.leased {
			s.Leased++
		}
		s.Oldest = minTime(s.Oldest, o.message.Accepted)
	}
	got, err := m.Store().Queues(r.Context())
	m.must("Queues", err)
	if !slices.IsSortedFunc(got, func(a, b queue.Status) int { return compareKeys(a.Key, b.Key) }) {
		m.Fatalf("Queues are not in order: %+v", got)
	}
	for _, s := range got {
		w := want[s.Key]
		if w == nil || s.Waiting != w.Waiting || s.Leased != w.Leased || s.Held != m.queueHeld(s.Key) || !s.Oldest.Equal(w.Oldest) || s.NextDue.IsZero() != (w.Leased == w.Waiting) {
			m.Fatalf("queue %+v, want %+v", s, w)
		}
	}
	m.checkUsage()
	stats := m.Store().Stats()
	if len(got) != len(want) || stats.Queues != len(want) || stats.Recipients != int64(len(m.owed)) || stats.Messages != int64(len(messages)) {
		m.Fatalf("%d queues, stats %+v; want %d, %d recipients of %d messages", len(got), stats, len(want), len(m.owed), len(messages))
	}
}

func (m *model) checkEvents() {
	got := map[queue.RecipientID][]string{}
	for _, e := range m.Events(m.outer) {
		id, err := queue.ParseID(e.Message)
		m.must("message id", err)
		r := queue.RecipientID{Message: id, Index: e.Index}
		got[r] = append(got[r], string(e.Type))
	}
	if len(got) != len(m.histories) {
		m.Fatalf("events of %d recipients, want %d", len(got), len(m.histories))
	}
	for id, want := range m.histories {
		if !slices.Equal(got[id], want) {
			m.Fatalf("events of %s: %q, want %q", id, got[id], want)
		}
	}
}

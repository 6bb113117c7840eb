package powerfail

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
)

// fault is a kind of finding.
type fault string

const (
	// lost: what was promised is not there.
	lost fault = "lost"
	// phantom: there is what never was, or twice what was once.
	phantom fault = "phantom"
	// wrong: it is there, and is not what it was.
	wrong fault = "wrong"
	// refused: the store does not open, or fails.
	refused fault = "refused"
	// alarmed: damage is reported where nothing is damaged.
	alarmed fault = "alarmed"
)

// finding is one thing that should not be.
type finding struct {
	fault   fault
	message queue.ID
	text    string
}

func (f finding) String() string { return string(f.fault) + ": " + f.text }

// observation is what a store holds after a failure.
type observation struct {
	entries []queue.Entry
	// bodies says of each owed message why its body cannot be read.
	bodies map[queue.ID]error
	// changed are messages whose body is another.
	changed []queue.ID
	events  []event.Record
	holds   []queue.Hold
}

// inspection compares an observation with the ledger.
type inspection struct {
	ledger   *ledger
	at       int
	findings []finding

	entries map[queue.RecipientID]queue.Entry
	// events by id, and the ends and deferrals of each recipient.
	events   map[string]event.Event
	ended    map[queue.RecipientID]int
	deferred map[queue.RecipientID][]event.Event
}

// inspect returns what is wrong with a store whose power failed at a moment.
func (l *ledger) inspect(at int, seen *observation) []finding {
	in := &inspection{
		ledger: l, at: at,
		entries: map[queue.RecipientID]queue.Entry{}, events: map[string]event.Event{},
		ended: map[queue.RecipientID]int{}, deferred: map[queue.RecipientID][]event.Event{},
	}
	in.readEvents(seen.events)
	in.readEntries(seen)
	for _, m := range l.messages {
		in.message(m)
	}
	in.promisedEvents()
	in.holds(seen.holds)
	return in.findings
}

func (in *inspection) find(f fault, id queue.ID, format string, arguments ...any) {
	in.findings = append(in.findings, finding{f, id, fmt.Sprintf(format, arguments...)})
}

// readEvents holds every event to what was announced.
func (in *inspection) readEvents(records []event.Record) {
	last := uint64(0)
	for _, r := range records {
		e := r.Event
		id, err := queue.ParseID(e.Message)
		if err != nil {
			in.find(wrong, id, "event %s of message %q", e.ID, e.Message)
			continue
		}
		if r.Position <= last {
			in.find(wrong, id, "event %s at position %d after %d", e.ID, r.Position, last)
		}
		last = r.Position
		if _, twice := in.events[e.ID]; twice {
			in.find(phantom, id, "event %s is there twice", e.ID)
			continue
		}
		in.events[e.ID] = e
		in.event(id, &e)
	}
}

func (in *inspection) event(id queue.ID, e *event.Event) {
	recipient := queue.RecipientID{Message: id, Index: e.Index}
	switch {
	case e.Type == event.Accepted:
		in.acceptedEvent(recipient, e)
		return
	case ends(e.Type):
		in.ended[recipient]++
	case e.Type == event.Deferred:
		in.deferred[recipient] = append(in.deferred[recipient], *e)
	}
	h := in.ledger.events[e.ID]
	if h == nil || !anyPossible(h.promises, in.at) {
		in.find(phantom, id, "event %s tells of what never happened", e.ID)
		return
	}
	if encoded, err := json.Marshal(e); len(h.encoded) > 0 && (err != nil || !slices.Contains(h.encoded, string(encoded))) {
		in.find(wrong, id, "event %s is %s, was %s", e.ID, encoded, h.encoded)
	}
}

func (in *inspection) acceptedEvent(r queue.RecipientID, e *event.Event) {
	m := in.ledger.messages[r.Message]
	if m == nil || !m.possible(in.at) || r.Index >= len(m.recipients) {
		in.find(phantom, r.Message, "event %s of a recipient that never was", e.ID)
		return
	}
	if got, err := json.Marshal(e); err != nil || string(got) != m.accepted[r.Index] {
		in.find(wrong, r.Message, "event is %s, was %s", got, m.accepted[r.Index])
	}
}

// readEntries holds everything owed to what was announced.
func (in *inspection) readEntries(seen *observation) {
	for _, e := range seen.entries {
		r := queue.RecipientID{Message: e.Message.ID, Index: e.Index}
		m := in.ledger.messages[r.Message]
		if m == nil || !m.possible(in.at) || e.Index >= len(m.recipients) {
			in.find(phantom, r.Message, "%s is owed and was never accepted", r)
			continue
		}
		if _, twice := in.entries[r]; twice {
			in.find(phantom, r.Message, "%s is owed twice", r)
		}
		in.entries[r] = e
		if e.Recipient != m.recipients[e.Index] {
			in.find(wrong, r.Message, "%s is for another recipient", r)
		}
		if encoded, err := json.Marshal(e.Message); err != nil || string(encoded) != m.encoded {
			in.find(wrong, r.Message, "message is %s, was %s", encoded, m.encoded)
		}
		in.attempts(r, &e)
	}
	for id, err := range seen.bodies {
		in.find(lost, id, "body of %s cannot be read: %v", id, err)
	}
	for _, id := range seen.changed {
		in.find(wrong, id, "body of %s is not what it was", id)
	}
}

func (in *inspection) attempts(r queue.RecipientID, e *queue.Entry) {
	deferred := in.deferred[r]
	if len(deferred) != e.Attempts {
		in.find(wrong, r.Message, "%s counts %d attempts and has %d deferred events", r, e.Attempts, len(deferred))
		return
	}
	if len(deferred) == 0 {
		return
	}
	last := deferred[len(deferred)-1]
	if !e.Due.Equal(last.NextAttempt) {
		in.find(wrong, r.Message, "%s is due at %s, its last event says %s", r, e.Due.Format(time.RFC3339Nano), last.NextAttempt.Format(time.RFC3339Nano))
	}
	if e.Last == nil || e.Last.ID != last.ID {
		in.find(wrong, r.Message, "%s does not know its last deferral %s", r, last.ID)
	}
}

// message holds each recipient to be owed, or to have ended with one event.
func (in *inspection) message(m *owedMessage) {
	there := 0
	for i := range m.recipients {
		r := queue.RecipientID{Message: m.message.ID, Index: i}
		_, owed := in.entries[r]
		ended := in.ended[r]
		if owed || ended > 0 {
			there++
		}
		in.recipient(m, r, owed, ended)
	}
	if there > 0 && there < len(m.recipients) {
		in.find(wrong, m.message.ID, "%d of the %d recipients of %s are there", there, len(m.recipients), m.message.ID)
	}
}

func (in *inspection) recipient(m *owedMessage, r queue.RecipientID, owed bool, ended int) {
	switch {
	case ended > 1:
		in.find(phantom, r.Message, "%s ended %d times", r, ended)
	case owed && ended > 0:
		in.find(phantom, r.Message, "%s ended and is owed", r)
	case owed && anyCertain(m.ended[r.Index], in.at):
		in.find(lost, r.Message, "%s is owed although its end was acknowledged", r)
	case !owed && ended == 0 && anyCertain(m.ended[r.Index], in.at):
		in.find(lost, r.Message, "%s ended without its event", r)
	case !owed && ended == 0 && m.certain(in.at):
		in.find(lost, r.Message, "%s was accepted and is neither owed nor ended", r)
	}
	id := queue.AcceptedEvent(m.message, r.Index, m.recipients[r.Index].Address).ID
	_, told := in.events[id]
	if there := owed || ended > 0; there != told {
		in.find(lost, r.Message, "%s is there: %t, its accepted event is: %t", r, there, told)
	}
}

// promisedEvents looks for all events that were acknowledged.
func (in *inspection) promisedEvents() {
	for id, h := range in.ledger.events {
		if _, told := in.events[id]; !told && anyCertain(h.promises, in.at) {
			in.find(lost, h.message, "event %s was acknowledged and is not in the log", id)
		}
	}
}

// holds compares the holds in force with those announced.
func (in *inspection) holds(seen []queue.Hold) {
	there := map[queue.ID]bool{}
	for _, h := range seen {
		there[h.ID] = true
		r := in.ledger.holds[h.ID]
		switch {
		case r == nil || !r.possible(in.at):
			in.find(phantom, h.Selector.Message, "hold %s was never placed", h.ID)
		case anyCertain(r.released, in.at):
			in.find(lost, r.message, "hold %s is in force although its release was acknowledged", h.ID)
		case h.Selector != queue.Selector{Message: r.message} || h.Reason != r.reason:
			in.find(wrong, r.message, "hold %s is another", h.ID)
		}
	}
	for id, r := range in.ledger.holds {
		if r.certain(in.at) && !anyPossible(r.released, in.at) && !there[id] {
			in.find(lost, r.message, "hold %s was acknowledged and is not in force", id)
		}
	}
}

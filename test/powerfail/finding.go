package powerfail

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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
	// barred holds those of the ledger's barriers that are in force.
	barred map[*barrier]bool
	// residue are files that name somebody erased.
	residue []string
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
	in.barriers(seen)
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
		if r.Position <= last {
			in.find(wrong, id, "event %s at position %d after %d", e.ID, r.Position, last)
		}
		last = r.Position
		if e.Type == event.RateExceeded {
			continue // it is about nobody's mail, and may come again after a crash
		}
		if err != nil {
			in.find(wrong, id, "event %s of message %q", e.ID, e.Message)
			continue
		}
		if _, twice := in.events[e.ID]; twice {
			in.find(phantom, id, "event %s is there twice", e.ID)
			continue
		}
		in.events[e.ID] = e
		in.event(id, &e)
		if h := in.ledger.events[e.ID]; h != nil && h.position != 0 && h.position != r.Position && !in.late(&e, h) {
			in.find(wrong, id, "event %s is at position %d, was at %d", e.ID, r.Position, h.position)
		}
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
	if in.late(e, h) {
		own, forms := *e, make([]string, len(h.encoded))
		own.Time = time.Time{}
		for i := range forms {
			forms[i] = timeless(h.encoded[i])
		}
		e, h = &own, &happening{encoded: forms}
	}
	in.compare(recipient, e, h.encoded)
}

// late reports whether an event may have been made after the failure: a cancel
// that was not acknowledged goes on then.
func (in *inspection) late(e *event.Event, h *happening) bool {
	return e.Type == event.Dropped && !anyCertain(h.promises, in.at)
}

// timeless is an event as JSON without its time.
func timeless(encoded string) string {
	var e event.Event
	if err := json.Unmarshal([]byte(encoded), &e); err != nil {
		return encoded
	}
	e.Time = time.Time{}
	again, err := json.Marshal(e)
	if err != nil {
		return encoded
	}
	return string(again)
}

// compare holds an event to the forms that were announced of it, or, where its
// person may have been erased, to what is left of them. One that was only heard
// of after the erasure still names them before it.
func (in *inspection) compare(r queue.RecipientID, e *event.Event, forms []string) {
	m := in.ledger.messages[r.Message]
	if m == nil || r.Index >= len(m.recipients) {
		return // found out elsewhere
	}
	address := m.recipients[r.Index].Address
	possible, certain := in.ledger.erased(m.message.Tenant, address, in.at)
	if certain && strings.Contains(e.Recipient, address.String()) {
		in.find(lost, r.Message, "event %s names somebody whose erasure was acknowledged", e.ID)
		return
	}
	encoded, err := json.Marshal(e)
	if err == nil && (len(forms) == 0 || slices.Contains(forms, string(encoded))) {
		return
	}
	named := e.Recipient == address.String()
	allowed := possible && !named || named && in.ledger.isErased(m.message.Tenant, address)
	if err == nil && allowed && slices.ContainsFunc(forms, sameBut(e)) {
		return
	}
	in.find(wrong, r.Message, "event %s is %s, was %s", e.ID, encoded, forms)
}

// sameBut returns a function that compares events without what an erasure
// changes.
func sameBut(e *event.Event) func(encoded string) bool {
	own := impersonal(*e)
	return func(encoded string) bool {
		var other event.Event
		return json.Unmarshal([]byte(encoded), &other) == nil && impersonal(other) == own
	}
}

// impersonal is an event as JSON without what tells of a person.
func impersonal(e event.Event) string {
	e.Recipient, e.Metadata, e.URL, e.Reason = "", nil, "", ""
	if e.Reply != nil {
		reply := *e.Reply
		reply.Text = ""
		e.Reply = &reply
	}
	encoded, err := json.Marshal(e)
	if err != nil {
		return err.Error()
	}
	return string(encoded)
}

func (in *inspection) acceptedEvent(r queue.RecipientID, e *event.Event) {
	m := in.ledger.messages[r.Message]
	if m == nil || !m.possible(in.at) || r.Index >= len(m.recipients) {
		in.find(phantom, r.Message, "event %s of a recipient that never was", e.ID)
		return
	}
	if m.accepted != nil {
		in.compare(r, e, m.accepted[r.Index:r.Index+1])
	} else if h := in.ledger.events[e.ID]; h != nil {
		in.compare(r, e, h.encoded)
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
		in.sameMessage(m, e.Message)
		in.attempts(m, r, &e)
	}
	for id, err := range seen.bodies {
		in.find(lost, id, "body of %s cannot be read: %v", id, err)
	}
	for _, id := range seen.changed {
		in.find(wrong, id, "body of %s is not what it was", id)
	}
}

// sameMessage compares all of a message, or what of it is known.
func (in *inspection) sameMessage(m *owedMessage, got *queue.Message) {
	want := m.message
	if m.encoded != "" {
		if encoded, err := json.Marshal(got); err != nil || string(encoded) != m.encoded {
			in.find(wrong, want.ID, "message is %s, was %s", encoded, m.encoded)
		}
		return
	}
	if got.Tenant != want.Tenant || got.Stream != want.Stream || got.Campaign != want.Campaign ||
		got.Envelope.From != want.Envelope.From || got.NotBefore.IsZero() != want.NotBefore.IsZero() {
		in.find(wrong, want.ID, "message is %+v, was %+v", got, want)
	}
}

func (in *inspection) attempts(m *owedMessage, r queue.RecipientID, e *queue.Entry) {
	deferred := in.deferred[r]
	if len(deferred) != e.Attempts {
		in.find(wrong, r.Message, "%s counts %d attempts and has %d deferred events", r, e.Attempts, len(deferred))
		return
	}
	if len(deferred) == 0 {
		return
	}
	last := deferred[len(deferred)-1]
	due := last.NextAttempt
	if end := e.Message.Expires; !end.IsZero() && end.Before(due) {
		due = end // to tell of it
	}
	retried := e.Due.Before(due) && in.ledger.retried(m, r.Index, in.at)
	if !e.Due.Equal(due) && !retried {
		in.find(wrong, r.Message, "%s is due at %s instead of %s", r, e.Due.Format(time.RFC3339Nano), due.Format(time.RFC3339Nano))
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
			in.find(lost, r.selector.Message, "hold %s is in force although its release was acknowledged", h.ID)
		case h.Selector != r.selector || h.Reason != r.reason:
			in.find(wrong, r.selector.Message, "hold %s is another", h.ID)
		}
	}
	for id, r := range in.ledger.holds {
		if r.certain(in.at) && !anyPossible(r.released, in.at) && !there[id] {
			in.find(lost, r.selector.Message, "hold %s was acknowledged and is not in force", id)
		}
	}
}

// barriers looks for who must not be mailed, and for names of those erased.
func (in *inspection) barriers(seen *observation) {
	for _, b := range in.ledger.barriers {
		possible := false
		for _, other := range in.ledger.barred(b.tenant, b.address) {
			possible = possible || other.possible(in.at)
		}
		switch there := seen.barred[b]; {
		case b.certain(in.at) && !there:
			in.find(lost, queue.ID{}, "it was acknowledged that %s gets no more mail, and nobody knows", b.address)
		case there && !possible:
			in.find(phantom, queue.ID{}, "%s gets no more mail, for no reason", b.address)
		}
	}
	for _, name := range seen.residue {
		in.find(lost, queue.ID{}, "%s names somebody whose erasure was acknowledged", name)
	}
}

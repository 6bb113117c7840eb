package powerfail

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/test/powerfail/disk"
)

// before is the moment of everything in an earlier life.
const before = -1

// promise is one call that the worker announced.
type promise struct {
	// begun and done are moments: steps of the trace.
	begun, done int
}

// possible reports whether its effect may be seen after a failure at a moment,
// and certain whether it must.
func (p promise) possible(at int) bool { return p.begun < at }
func (p promise) certain(at int) bool  { return p.done < at }

// owedMessage is one message that the worker announced.
type owedMessage struct {
	*promise
	message    *queue.Message
	recipients []mail.Recipient
	// encoded is the message as JSON, accepted the event of each recipient.
	encoded  string
	accepted []string
	// ended holds the calls that end recipients, by index.
	ended map[int][]*promise
}

// happening is one event that the worker announced: possibly more than once,
// if an earlier life began to tell of it and nobody knows how that went.
type happening struct {
	message  queue.ID
	promises []*promise
	encoded  []string
}

// rule is one hold that the worker announced.
type rule struct {
	*promise
	message  queue.ID
	reason   string
	released []*promise
}

// ledger is all that the worker announced.
type ledger struct {
	calls    map[int]*promise
	holds    map[queue.ID]*rule
	messages map[queue.ID]*owedMessage
	events   map[string]*happening
}

func newLedger() *ledger {
	return &ledger{
		calls: map[int]*promise{}, holds: map[queue.ID]*rule{},
		messages: map[queue.ID]*owedMessage{}, events: map[string]*happening{},
	}
}

// lastNumber is the highest number of a call.
func (l *ledger) lastNumber() int {
	last := 0
	for n := range l.calls {
		last = max(last, n)
	}
	return last
}

// readSteps enters the notes among steps below end, each at the moment that
// when says.
func (l *ledger) readSteps(steps []disk.Step, end int, when func(step int) int) error {
	for i, s := range steps[:end] {
		if s.Action != disk.Note {
			continue
		}
		var w word
		err := json.Unmarshal(s.Data, &w)
		if err == nil {
			err = l.enter(w, when(i))
		}
		if err != nil {
			return fmt.Errorf("announcement in step %d: %w", i, err)
		}
	}
	return nil
}

var errAnnouncement = errors.New("announcement makes no sense")

func (l *ledger) enter(w word, at int) error {
	if w.Done {
		p := l.calls[w.Number]
		if p == nil {
			return errAnnouncement
		}
		p.done = at
		return nil
	}
	p := &promise{begun: at, done: math.MaxInt}
	l.calls[w.Number] = p
	switch w.Kind {
	case wordAccept:
		return l.accept(w, p)
	case wordCancel:
		return l.cancel(w, p)
	case wordHold, wordFree:
		return l.hold(w, p)
	case wordSettle, wordDefer, wordRecord:
		for i := range w.Events {
			if err := l.event(&w.Events[i], p); err != nil {
				return err
			}
		}
		return nil
	}
	return errAnnouncement
}

func (l *ledger) accept(w word, p *promise) error {
	if w.Message == nil || l.messages[w.Message.ID] != nil {
		return errAnnouncement
	}
	m := &owedMessage{promise: p, message: w.Message, recipients: w.Recipients, ended: map[int][]*promise{}}
	encoded, err := json.Marshal(w.Message)
	if err != nil {
		return err
	}
	m.encoded = string(encoded)
	for i := range m.recipients {
		encoded, err := json.Marshal(queue.AcceptedEvent(m.message, i, m.recipients[i].Address))
		if err != nil {
			return err
		}
		m.accepted = append(m.accepted, string(encoded))
	}
	l.messages[w.Message.ID] = m
	return nil
}

// cancel ends all recipients. What their events will say of the time is not
// known.
func (l *ledger) cancel(w word, p *promise) error {
	m := l.messages[w.Target]
	if m == nil {
		return errAnnouncement
	}
	for i := range m.recipients {
		m.ended[i] = append(m.ended[i], p)
		e := l.first(m, i, event.Dropped)
		e.promises = append(e.promises, p)
	}
	return nil
}

func (l *ledger) hold(w word, p *promise) error {
	if w.Kind == wordHold {
		l.holds[w.Hold] = &rule{promise: p, message: w.Target, reason: w.Reason}
		return nil
	}
	h := l.holds[w.Hold]
	if h == nil {
		return errAnnouncement
	}
	h.released = append(h.released, p)
	return nil
}

// first returns what happened to a recipient at the first attempt.
func (l *ledger) first(m *owedMessage, index int, kind event.Type) *happening {
	d := queue.Delivery{Message: m.message, Index: index, Recipient: m.recipients[index]}
	return l.happening(d.Event(kind, m.message.Accepted).ID, m.message.ID)
}

func (l *ledger) happening(event string, message queue.ID) *happening {
	h := l.events[event]
	if h == nil {
		h = &happening{message: message}
		l.events[event] = h
	}
	return h
}

func (l *ledger) event(e *event.Event, p *promise) error {
	encoded, err := json.Marshal(e)
	if err != nil {
		return err
	}
	id, err := queue.ParseID(e.Message)
	if err != nil {
		return err
	}
	h := l.happening(e.ID, id)
	h.promises = append(h.promises, p)
	h.encoded = append(h.encoded, string(encoded))
	if !ends(e.Type) {
		return nil
	}
	m := l.messages[id]
	if m == nil {
		return errAnnouncement
	}
	m.ended[e.Index] = append(m.ended[e.Index], p)
	return nil
}

// ends reports events after which nothing is owed.
func ends(kind event.Type) bool {
	switch kind {
	case event.Delivered, event.Bounced, event.Expired, event.Dropped:
		return true
	}
	return false
}

func anyPossible(promises []*promise, at int) bool {
	for _, p := range promises {
		if p.possible(at) {
			return true
		}
	}
	return false
}

func anyCertain(promises []*promise, at int) bool {
	for _, p := range promises {
		if p.certain(at) {
			return true
		}
	}
	return false
}

// stillOwed returns the recipients that must be owed at a moment: nobody had
// begun to end them.
func (l *ledger) stillOwed(at int) []queue.RecipientID {
	var owed []queue.RecipientID
	for id, m := range l.messages {
		for i := range m.recipients {
			if m.certain(at) && !anyPossible(m.ended[i], at) {
				owed = append(owed, queue.RecipientID{Message: id, Index: i})
			}
		}
	}
	return owed
}

// acknowledged counts what was promised before a moment: recipients accepted,
// events of everything that became of them, and holds.
func (l *ledger) acknowledged(at int) int {
	n := 0
	for _, m := range l.messages {
		if m.certain(at) {
			n += len(m.recipients)
		}
	}
	for _, h := range l.events {
		if anyCertain(h.promises, at) {
			n++
		}
	}
	for _, h := range l.holds {
		if h.certain(at) {
			n++
		}
	}
	return n
}

// copy returns a ledger that can be added to alone.
func (l *ledger) copy() *ledger {
	own := newLedger()
	promises := map[*promise]*promise{}
	for n, p := range l.calls {
		c := *p
		promises[p], own.calls[n] = &c, &c
	}
	copyAll := func(from []*promise) []*promise {
		to := make([]*promise, len(from))
		for i, p := range from {
			to[i] = promises[p]
		}
		return to
	}
	for id, m := range l.messages {
		c := *m
		c.promise, c.ended = promises[m.promise], map[int][]*promise{}
		for i, p := range m.ended {
			c.ended[i] = copyAll(p)
		}
		own.messages[id] = &c
	}
	for id, h := range l.events {
		own.events[id] = &happening{message: h.message, promises: copyAll(h.promises), encoded: append([]string(nil), h.encoded...)}
	}
	for id, h := range l.holds {
		own.holds[id] = &rule{promise: promises[h.promise], message: h.message, reason: h.reason, released: copyAll(h.released)}
	}
	return own
}

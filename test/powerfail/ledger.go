package powerfail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/test/powerfail/disk"
)

// before is the moment of everything in an earlier life.
const before = -1

// promise is one thing that somebody asked for.
type promise struct {
	// begun and done are moments: steps of the trace.
	begun, done int
}

// possible reports whether its effect may be seen after a failure at a moment,
// and certain whether it must.
func (p promise) possible(at int) bool { return p.begun < at }
func (p promise) certain(at int) bool  { return p.done < at }

// owedMessage is one message that was announced.
type owedMessage struct {
	*promise
	message    *queue.Message
	recipients []mail.Recipient
	// encoded is the message as JSON, accepted the event of each recipient;
	// empty where they are not known.
	encoded  string
	accepted []string
	// content is what the body ends with; nil for what body makes.
	content []byte
	// ended holds the calls that end recipients, by index.
	ended map[int][]*promise
}

// intact reports whether a body is that of the message.
func (m *owedMessage) intact(b []byte, size int64) bool {
	if m.content == nil {
		return bytes.Equal(b, body(m.message.ID, size))
	}
	return int64(len(b)) == size && bytes.HasSuffix(b, m.content)
}

// happening is one event that was announced: possibly more than once, if an
// earlier life began to tell of it and nobody knows how that went.
type happening struct {
	message  queue.ID
	promises []*promise
	encoded  []string
	// position is where it was told to be; 0 if it was not.
	position uint64
}

// rule is one hold that was announced.
type rule struct {
	*promise
	selector queue.Selector
	reason   string
	released []*promise
}

// retrial is a call that makes recipients due.
type retrial struct {
	*promise
	selector queue.Selector
}

// ledger is all that was announced.
type ledger struct {
	calls    map[int]*promise
	holds    map[queue.ID]*rule
	messages map[queue.ID]*owedMessage
	events   map[string]*happening
	retrials []retrial
	rumours
}

func newLedger() *ledger {
	return &ledger{
		calls: map[int]*promise{}, holds: map[queue.ID]*rule{},
		messages: map[queue.ID]*owedMessage{}, events: map[string]*happening{},
		rumours: newRumours(),
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
		if err := l.readWords(s.Data, when(i)); err != nil {
			return fmt.Errorf("announcement in step %d: %w", i, err)
		}
	}
	return nil
}

// readWords enters the words of one note.
func (l *ledger) readWords(note []byte, at int) error {
	words := json.NewDecoder(bytes.NewReader(note))
	for {
		var w word
		err := words.Decode(&w)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = l.enter(w, at)
		}
		if err != nil {
			return fmt.Errorf("%s %d: %w", w.Kind, w.Number, err)
		}
	}
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
	case wordRetry:
		l.retrials = append(l.retrials, retrial{p, queue.Selector(w.Selector)})
		return nil
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
	return l.overhear(w, p)
}

func (l *ledger) accept(w word, p *promise) error {
	if w.Message == nil || l.messages[w.Message.ID] != nil {
		return errAnnouncement
	}
	m := &owedMessage{
		promise: p, message: w.Message, recipients: w.Recipients, content: w.Content,
		ended: map[int][]*promise{},
	}
	l.messages[w.Message.ID] = m
	if w.Content != nil {
		return nil // the times in it are the daemon's
	}
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
	return nil
}

// each calls yield for every recipient so far that a selector chooses, and
// returns how many there are.
func (l *ledger) each(s queue.Selector, yield func(m *owedMessage, index int)) int {
	n := 0
	for _, m := range l.messages {
		for i := range m.recipients {
			if s.Match(m.message, m.recipients[i].Address) {
				yield(m, i)
				n++
			}
		}
	}
	return n
}

// cancel ends all recipients that it chooses. What their events will say of the
// time is not known.
func (l *ledger) cancel(w word, p *promise) error {
	n := l.each(queue.Selector(w.Selector), func(m *owedMessage, i int) {
		m.ended[i] = append(m.ended[i], p)
		e := l.first(m, i, event.Dropped)
		e.promises = append(e.promises, p)
	})
	if n == 0 {
		return errAnnouncement
	}
	return nil
}

func (l *ledger) hold(w word, p *promise) error {
	if w.Kind == wordHold {
		l.holds[w.Hold] = &rule{promise: p, selector: queue.Selector(w.Selector), reason: w.Reason}
		return nil
	}
	h := l.holds[w.Hold]
	if h == nil {
		return errAnnouncement
	}
	h.released = append(h.released, p)
	return nil
}

// retried reports whether a recipient may have been made due, before a moment,
// by somebody who does not settle or defer it.
func (l *ledger) retried(m *owedMessage, index, at int) bool {
	for _, r := range l.retrials {
		if r.possible(at) && r.done >= m.begun && r.selector.Match(m.message, m.recipients[index].Address) {
			return true
		}
	}
	return false
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
// events of everything that became of them, holds, and what readers and those
// erased were told.
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
	for _, b := range l.barriers {
		if b.certain(at) {
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
		own.events[id] = &happening{
			message: h.message, promises: copyAll(h.promises),
			encoded: append([]string(nil), h.encoded...), position: h.position,
		}
	}
	for id, h := range l.holds {
		own.holds[id] = &rule{promise: promises[h.promise], selector: h.selector, reason: h.reason, released: copyAll(h.released)}
	}
	for _, r := range l.retrials {
		own.retrials = append(own.retrials, retrial{promises[r.promise], r.selector})
	}
	own.rumours = l.rumours.copy(promises)
	return own
}

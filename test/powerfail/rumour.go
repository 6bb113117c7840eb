package powerfail

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// rumours are what is overheard from a daemon, beside what it promises to those
// who hand in mail.
type rumours struct {
	// answers are the remote servers', by recipient, in order.
	answers map[string][]answer
	// readings are opens and clicks by what they make known: message, index and
	// kind of event.
	readings map[reading][]*promise
	// barriers are who must not be mailed any more.
	barriers []*barrier
}

type answer struct {
	*promise
	code int
}

type reading struct {
	recipient queue.RecipientID
	kind      event.Type
}

// barrier is somebody who was told that they get no more mail.
type barrier struct {
	*promise
	tenant string
	// stream is empty for all of the tenant's.
	stream  string
	address mail.Address
	// erased: nothing may name them any more.
	erased bool
}

func newRumours() rumours {
	return rumours{answers: map[string][]answer{}, readings: map[reading][]*promise{}}
}

func (r rumours) copy(promises map[*promise]*promise) rumours {
	own := newRumours()
	for address, all := range r.answers {
		for _, a := range all {
			own.answers[address] = append(own.answers[address], answer{promises[a.promise], a.code})
		}
	}
	for of, all := range r.readings {
		for _, p := range all {
			own.readings[of] = append(own.readings[of], promises[p])
		}
	}
	for _, b := range r.barriers {
		c := *b
		c.promise = promises[b.promise]
		own.barriers = append(own.barriers, &c)
	}
	return own
}

// overhear enters a word of a daemon's.
func (l *ledger) overhear(w word, p *promise) error {
	switch w.Kind {
	case wordAnswer:
		address := w.Address.String()
		l.answers[address] = append(l.answers[address], answer{p, w.Code})
	case wordRead:
		for _, e := range w.Events {
			id, err := queue.ParseID(e.Message)
			if err != nil {
				return err
			}
			of := reading{queue.RecipientID{Message: id, Index: e.Index}, e.Type}
			l.readings[of] = append(l.readings[of], p)
		}
	case wordLeave, wordErase:
		l.barriers = append(l.barriers, &barrier{
			promise: p, tenant: w.Tenant, stream: w.Stream, address: w.Address, erased: w.Kind == wordErase,
		})
	case wordTold:
		if len(w.Events) != 1 {
			return errAnnouncement
		}
		return l.told(&w.Events[0], w.Position, p)
	default:
		return errAnnouncement
	}
	return nil
}

// told takes note of an event that somebody has read: it cannot be undone.
func (l *ledger) told(e *event.Event, position uint64, p *promise) error {
	id, err := queue.ParseID(e.Message)
	if err != nil {
		return err
	}
	m := l.messages[id]
	if m == nil || e.Index >= len(m.recipients) {
		return fmt.Errorf("%w: %s of %s, which nobody handed in", errAnnouncement, e.Type, e.Message)
	}
	encoded, err := json.Marshal(e)
	if err != nil {
		return err
	}
	p.done = p.begun
	if p.begun, err = l.earliest(m, e); err != nil {
		return err
	}
	h := l.happening(e.ID, id)
	if h.position != 0 && h.position != position {
		return fmt.Errorf("%w: event %s told at position %d, and before at %d", errAnnouncement, e.ID, position, h.position)
	}
	h.position = position
	h.promises = append(h.promises, p)
	if !slices.Contains(h.encoded, string(encoded)) {
		h.encoded = append(h.encoded, string(encoded))
	}
	if ends(e.Type) {
		m.ended[e.Index] = append(m.ended[e.Index], p)
	}
	return nil
}

// earliest is the moment from which an event may be in the log: nobody is told
// of an answer before it was given, or of a click before it was made.
func (l *ledger) earliest(m *owedMessage, e *event.Event) (int, error) {
	address := m.recipients[e.Index].Address.String()
	switch e.Type {
	case event.Delivered:
		for _, a := range l.answers[address] {
			if a.code/100 == 2 {
				return a.begun, nil
			}
		}
		return 0, fmt.Errorf("%w: %s is delivered, and nobody took it", errAnnouncement, e.ID)
	case event.Opened, event.Clicked:
		all := l.readings[reading{queue.RecipientID{Message: m.message.ID, Index: e.Index}, e.Type}]
		if len(all) == 0 {
			return 0, fmt.Errorf("%w: %s %s, and nobody did", errAnnouncement, e.ID, e.Type)
		}
		return all[0].begun, nil
	case event.Deferred, event.Bounced:
		if all := l.answers[address]; e.Reply != nil && len(all) >= e.Attempt {
			return all[e.Attempt-1].begun, nil
		}
	}
	return m.begun, nil
}

// barred returns the barriers of one address.
func (l *ledger) barred(tenant string, a mail.Address) []*barrier {
	var all []*barrier
	for _, b := range l.barriers {
		if b.tenant == tenant && b.address.Key() == a.Key() {
			all = append(all, b)
		}
	}
	return all
}

// isErased reports whether an address is erased at some time.
func (l *ledger) isErased(tenant string, a mail.Address) bool {
	return slices.ContainsFunc(l.barred(tenant, a), func(b *barrier) bool { return b.erased })
}

// erased reports whether an address may have been erased at a moment, and
// whether it must have been.
func (l *ledger) erased(tenant string, a mail.Address, at int) (possible, certain bool) {
	for _, b := range l.barred(tenant, a) {
		possible = possible || b.erased && b.possible(at)
		certain = certain || b.erased && b.certain(at)
	}
	return possible, certain
}

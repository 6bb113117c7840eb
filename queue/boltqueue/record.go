package boltqueue

import (
	"encoding/binary"
	"fmt"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// The kinds of journal records.
const (
	// kindAccept: a message with its recipients and its body.
	kindAccept = byte(iota + 1)
	// kindCopy: the payload of an accept again, moved out of an old segment.
	kindCopy
	// kindOutcome: what became of recipients.
	kindOutcome
	// kindEvents: events that change nothing owed.
	kindEvents
	// kindHold: a hold, which replaces one of the same id.
	kindHold
	// kindRelease: the id of a hold that ended.
	kindRelease
	// kindCancel: a cancel that takes effect.
	kindCancel
	// kindDropped: recipients that a cancel ended.
	kindDropped
	// kindCancelled: the position of a cancel that is through.
	kindCancelled
)

// acceptance is the content of an accept record. In the payload the body comes
// last, and in front of everything stands how long the rest is.
type acceptance struct {
	message *queue.Message
	// due is when the first attempt is due, in nanoseconds.
	due        int64
	recipients []mail.Recipient
	// queues holds the queue's number of each recipient.
	queues []uint64
}

func (a *acceptance) place(i int) place {
	return place{a.queues[i], recipientKey{a.message.ID, uint32(i)}}
}

// appendHead encodes all but the body.
func (a *acceptance) appendHead(b []byte) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = appendMessage(b, a.message)
	b = binary.AppendUvarint(b, uint64(a.due))
	b = binary.AppendUvarint(b, uint64(len(a.recipients)))
	for i := range a.recipients {
		b = binary.AppendUvarint(b, a.queues[i])
		b = appendRecipient(b, &a.recipients[i])
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// splitAcceptance returns the encoded head and the body.
func splitAcceptance(payload []byte) (head, body []byte, err error) {
	if len(payload) < 4 {
		return nil, nil, errEncoding
	}
	n := binary.LittleEndian.Uint32(payload)
	if uint64(n) > uint64(len(payload)-4) {
		return nil, nil, errEncoding
	}
	return payload[4 : 4+n], payload[4+n:], nil
}

func decodeAcceptance(payload []byte) (*acceptance, error) {
	head, _, err := splitAcceptance(payload)
	if err != nil {
		return nil, err
	}
	d := decoder{b: head}
	a := &acceptance{message: d.message(), due: d.number()}
	n := d.count()
	a.recipients = make([]mail.Recipient, 0, min(n, 1024))
	a.queues = make([]uint64, 0, min(n, 1024))
	for ; n > 0 && d.err == nil; n-- {
		a.queues = append(a.queues, d.uvarint())
		a.recipients = append(a.recipients, d.recipient())
	}
	if d.err != nil {
		return nil, fmt.Errorf("accept record: %w", d.err)
	}
	return a, nil
}

// change is what became of one recipient.
type change struct {
	recipient recipientKey
	queue     uint64
	// gone ends the recipient; otherwise it waits until due, after so many
	// attempts.
	gone     bool
	due      int64
	attempts uint32
	// event is the encoded event; empty for none.
	event []byte
}

func appendChanges(b []byte, changes []change) []byte {
	b = binary.AppendUvarint(b, uint64(len(changes)))
	for i := range changes {
		c := &changes[i]
		b = append(b, c.recipient.message[:]...)
		b = binary.AppendUvarint(b, uint64(c.recipient.index))
		b = binary.AppendUvarint(b, c.queue)
		if c.gone {
			b = append(b, 1)
		} else {
			b = append(b, 0)
			b = binary.AppendUvarint(b, uint64(c.due))
			b = binary.AppendUvarint(b, uint64(c.attempts))
		}
		b = appendBytes(b, c.event)
	}
	return b
}

// decodeChanges returns changes whose events are parts of the payload.
func decodeChanges(payload []byte) ([]change, error) {
	d := decoder{b: payload}
	n := d.count()
	changes := make([]change, 0, min(n, 1024))
	for ; n > 0 && d.err == nil; n-- {
		var c change
		copy(c.recipient.message[:], d.take(uint64(len(c.recipient.message))))
		c.recipient.index = d.index()
		c.queue = d.uvarint()
		if c.gone = d.byte() == 1; !c.gone {
			c.due, c.attempts = d.number(), d.index()
		}
		c.event = d.bytes()
		changes = append(changes, c)
	}
	if d.err != nil {
		return nil, fmt.Errorf("outcome record: %w", d.err)
	}
	return changes, nil
}

// encodeEvents makes one record of events that change nothing owed. There may be
// thousands: they share the memory in which each is encoded.
func encodeEvents(events []event.Event) ([]byte, error) {
	b := binary.AppendUvarint(make([]byte, 0, len(events)*hitOctets), uint64(len(events)))
	one := make([]byte, 0, eventOctets)
	for i := range events {
		var err error
		if one, err = appendEvent(one[:0], &events[i]); err != nil {
			return nil, err
		}
		b = appendBytes(b, one)
	}
	return b, nil
}

func decodeEvents(payload []byte) ([][]byte, error) {
	d := decoder{b: payload}
	n := d.count()
	encoded := make([][]byte, 0, min(n, 1024))
	for ; n > 0 && d.err == nil; n-- {
		encoded = append(encoded, d.bytes())
	}
	if d.err != nil {
		return nil, fmt.Errorf("event record: %w", d.err)
	}
	return encoded, nil
}

// eventOctets is more than most events take, hitOctets more than most opens and
// clicks.
const (
	eventOctets = 512
	hitOctets   = 256
)

// appendEvent returns b as it was beside an error.
func appendEvent(b []byte, e *event.Event) ([]byte, error) {
	encoded, err := e.AppendJSON(b)
	if err != nil {
		return b, fmt.Errorf("encode event: %w", err)
	}
	return encoded, nil
}

func decodeEvent(b []byte) (event.Event, error) {
	e, err := event.ParseJSON(b)
	if err != nil {
		return e, fmt.Errorf("decode event: %w", err)
	}
	return e, nil
}

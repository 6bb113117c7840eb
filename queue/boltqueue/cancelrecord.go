package boltqueue

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// append encodes what a cancel chooses, as its record and its row hold it.
func (c *cancel) append(b []byte) []byte {
	b = append(b, encodingVersion)
	b = appendString(b, c.reason)
	return appendSelector(b, &c.selector)
}

func decodeCancel(b []byte) (*cancel, error) {
	d := decoder{b: b}
	if d.byte() != encodingVersion {
		d.fail()
	}
	reason := d.string()
	c := newCancel(d.selector(), reason)
	if d.err != nil {
		return nil, fmt.Errorf("cancel: %w", d.err)
	}
	return c, nil
}

// cancelEnd names the cancel that is through by the position of its record.
type cancelEnd journal.Position

func appendPosition(b []byte, at journal.Position) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(at))
}

func decodePosition(b []byte) (journal.Position, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("position: %w", errEncoding)
	}
	return journal.Position(binary.BigEndian.Uint64(b)), nil
}

// dropped is one record of recipients that a cancel ended. It holds what their
// events say: that takes a tenth of the events themselves.
type dropped struct {
	reason     string
	at         time.Time
	recipients []droppedRecipient
	// cancel and entries are nil where the record is read again.
	cancel  *cancel
	entries []*entry
}

// droppedRecipient is one of them. Where the record is read again, its message
// has no more than events tell of it.
type droppedRecipient struct {
	message  *queue.Message
	queue    uint64
	index    uint32
	attempts uint32
	address  mail.Address
}

func (r *droppedRecipient) key() recipientKey { return recipientKey{r.message.ID, r.index} }

// append encodes the recipients. Those of one message stand together, behind
// what they share.
func (d *dropped) append(b []byte) []byte {
	b = append(b, encodingVersion)
	b = appendString(b, d.reason)
	b = appendTime(b, d.at)
	b = binary.AppendUvarint(b, uint64(len(d.recipients)))
	var last *queue.Message
	for i := range d.recipients {
		r := &d.recipients[i]
		if r.message != last {
			b = appendLabels(append(b, 1), r.message)
			last = r.message
		} else {
			b = append(b, 0)
		}
		b = binary.AppendUvarint(b, r.queue)
		b = binary.AppendUvarint(b, uint64(r.index))
		b = binary.AppendUvarint(b, uint64(r.attempts))
		b = appendString(b, r.address.String())
	}
	return b
}

func decodeDropped(payload []byte) (*dropped, error) {
	d := decoder{b: payload}
	if d.byte() != encodingVersion {
		d.fail()
	}
	out := &dropped{reason: d.string(), at: d.time()}
	n := d.count()
	out.recipients = make([]droppedRecipient, 0, min(n, controlBatch))
	var message *queue.Message
	for ; n > 0 && d.err == nil; n-- {
		if d.byte() == 1 {
			message = d.labels()
		}
		if message == nil {
			d.fail()
		}
		out.recipients = append(out.recipients, droppedRecipient{
			message: message, queue: d.uvarint(), index: d.index(), attempts: d.index(), address: d.address(),
		})
	}
	if d.err != nil {
		return nil, fmt.Errorf("dropped record: %w", d.err)
	}
	return out, nil
}

// appendLabels encodes what events tell of a message.
func appendLabels(b []byte, m *queue.Message) []byte {
	b = append(b, m.ID[:]...)
	b = appendString(b, m.Tenant)
	b = appendString(b, m.Stream)
	b = appendString(b, m.Campaign)
	b = binary.AppendUvarint(b, uint64(len(m.Tags)))
	for _, tag := range m.Tags {
		b = appendString(b, tag)
	}
	return appendBytes(b, m.Metadata)
}

func (d *decoder) labels() *queue.Message {
	m := &queue.Message{}
	copy(m.ID[:], d.take(uint64(len(m.ID))))
	m.Tenant, m.Stream, m.Campaign = d.string(), d.string(), d.string()
	for n := d.count(); n > 0; n-- {
		m.Tags = append(m.Tags, d.string())
	}
	if metadata := d.bytes(); len(metadata) > 0 {
		m.Metadata = json.RawMessage(string(metadata))
	}
	return m
}

// replayCancel follows a record of a cancel's begin, effect or end.
func (s *Store) replayCancel(r journal.Record) error {
	switch r.Kind {
	case kindCancel:
		c, err := decodeCancel(r.Payload)
		if err != nil {
			return err
		}
		c.position = r.Position
		s.cancels.add(c)
	case kindDropped:
		return s.replayDropped(r)
	case kindCancelled:
		at, err := decodePosition(r.Payload)
		if err != nil {
			return err
		}
		s.cancels.remove(at)
	}
	return nil
}

func (s *Store) replayDropped(r journal.Record) error {
	d, err := decodeDropped(r.Payload)
	if err != nil {
		return err
	}
	var errs []error // one that cannot be read is no reason to forget the others
	for i := range d.recipients {
		c := change{recipient: d.recipients[i].key(), queue: d.recipients[i].queue, gone: true}
		errs = append(errs, s.replayChange(r.Position, &c))
	}
	return errors.Join(errs...)
}

func (s *Store) loadCancel(k, v []byte) error {
	c, err := decodeCancel(v)
	if err != nil {
		return err
	}
	if c.position, err = decodePosition(k); err != nil {
		return err
	}
	s.cancels.add(c)
	return nil
}

// writeCancels replaces the rows: there are few.
func writeCancels(tx *bolt.Tx, all []*cancel) error {
	if err := tx.DeleteBucket([]byte(bucketCancels)); err != nil {
		return err
	}
	b, err := tx.CreateBucket([]byte(bucketCancels))
	if err != nil {
		return err
	}
	for _, c := range all {
		if err := b.Put(appendPosition(nil, c.position), c.append(nil)); err != nil {
			return err
		}
	}
	return nil
}

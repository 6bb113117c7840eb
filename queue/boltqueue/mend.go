package boltqueue

import (
	"errors"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/queue"
)

// mend makes messages and recipients agree again. They differ only if a
// checkpoint was left unfinished, and the journal that was to make up for it is
// damaged: then there are recipients gone whose messages do not know it, and
// recipients whose messages are lost. It reads all rows. Nothing else runs yet.
func (s *Store) mend() error {
	c := mending{store: s, owed: map[queue.ID]int{}}
	for key, e := range s.entries {
		if e.state != gone {
			c.owed[key.message]++
		}
	}
	err := s.view(c.compare)
	if err == nil {
		err = c.settle()
	}
	if errors.Is(err, boltguard.ErrDamaged) {
		return nil // which was reported
	}
	return err
}

// mending is what was found.
type mending struct {
	store *Store
	// owed counts the recipients of each message.
	owed map[queue.ID]int
	// wrong are the messages that count otherwise.
	wrong []queue.ID
	// lost are the recipients without a message.
	lost []dueRow
}

func (c *mending) compare(tx *bolt.Tx) error {
	s, messages := c.store, tx.Bucket([]byte(bucketMessages))
	err := tx.Bucket([]byte(bucketRecipients)).ForEach(func(k, v []byte) error {
		p, d := decodePlace(k), decoder{b: v}
		id := p.key.message
		switch {
		case s.entries[p.key] != nil:
		case s.messages[id] != nil || messages.Get(id[:]) != nil:
			c.owed[id]++
		default:
			c.lost = append(c.lost, dueRow{p.queue, mark{d.number(), p.key}})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, msg := range s.messages {
		if msg.owed != c.owed[id] {
			c.wrong = append(c.wrong, id)
		}
	}
	return messages.ForEach(func(k, v []byte) error {
		row, err := decodeMessageRow(v)
		if err != nil {
			return err
		}
		if id := queue.ID(k); s.messages[id] == nil && row.owed != c.owed[id] {
			c.wrong = append(c.wrong, id)
		}
		return nil
	})
}

func (c *mending) settle() error {
	s := c.store
	for _, id := range c.wrong {
		msg, err := s.loadMessage(id)
		if err != nil {
			return err
		}
		if msg.owed > 0 { // one that has ended stays so
			s.owe(msg, c.owed[id]-msg.owed)
		}
	}
	if len(c.lost) == 0 {
		return nil
	}
	s.damaged.Add(int64(len(c.lost)))
	s.options.Logger.Error("store: recipients without a message are dropped: its record in the journal is damaged", "recipients", len(c.lost))
	if err := s.db.Update(c.drop); err != nil {
		return err
	}
	for _, row := range c.lost {
		q := s.byID[row.queue]
		if q == nil {
			continue // nor has its queue a row
		}
		q.run(row.mark).unloaded--
		s.grow(q, -1)
		s.reschedule(q)
		s.release(q)
	}
	return nil
}

// drop deletes the rows of recipients without a message.
func (c *mending) drop(tx *bolt.Tx) error {
	changes := map[uint64]*growth{}
	for _, row := range c.lost {
		g := changes[row.queue]
		if g == nil {
			g = &growth{}
			changes[row.queue] = g
		}
		g.remove(row.mark)
		err := tx.Bucket([]byte(bucketRecipients)).Delete(appendRecipientRowKey(nil, row.queue, row.recipientKey))
		if err == nil && !row.prompt() {
			err = tx.Bucket([]byte(bucketDue)).Delete(appendDueKey(nil, row.queue, row.mark))
		}
		if err != nil {
			return err
		}
	}
	w := snapshotWriter{tx: tx}
	for id, g := range changes {
		if q := c.store.byID[id]; q != nil {
			if err := w.queue(q, g); err != nil {
				return err
			}
		}
	}
	return nil
}

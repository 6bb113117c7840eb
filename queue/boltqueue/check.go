package boltqueue

import (
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/queue"
)

// Check compares counts with scans and indexes with rows, on disk and in
// memory. It reads everything and holds everybody up: it is for tests and for
// recovery.
func (s *Store) Check() error {
	s.checkpoints.running.Lock()
	defer s.checkpoints.running.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view(func(tx *bolt.Tx) error {
		c := census{tx: tx, recipients: map[uint64]int{}, owed: map[queue.ID]int{}, queueOf: map[recipientKey]uint64{}}
		return errors.Join(c.countRows(), c.checkDue(), c.checkMessages(), c.checkUsage(), c.checkQueues(), s.checkMemory(&c))
	})
}

// census counts rows.
type census struct {
	tx         *bolt.Tx
	recipients map[uint64]int
	owed       map[queue.ID]int
	queueOf    map[recipientKey]uint64
}

func (c *census) countRows() error {
	return c.tx.Bucket([]byte(bucketRecipients)).ForEach(func(k, v []byte) error {
		row, err := decodeRecipientRow(v)
		if err != nil {
			return err
		}
		id, key := binary.BigEndian.Uint64(k), parseRecipientKey(k[queueKeyLength:])
		c.recipients[id]++
		c.owed[key.message]++
		c.queueOf[key] = id
		if c.tx.Bucket([]byte(bucketDue)).Get(appendDueKey(nil, id, mark{row.due, key})) == nil {
			return fmt.Errorf("recipient %s is not in the due index", key.id())
		}
		return nil
	})
}

func (c *census) checkDue() error {
	n := 0
	err := c.tx.Bucket([]byte(bucketDue)).ForEach(func(_, _ []byte) error {
		n++
		return nil
	})
	if err == nil && n != len(c.queueOf) {
		err = fmt.Errorf("due index has %d keys for %d recipients", n, len(c.queueOf))
	}
	return err
}

func (c *census) checkMessages() error {
	segments := map[uint32]segmentRow{}
	err := c.tx.Bucket([]byte(bucketMessages)).ForEach(func(_, v []byte) error {
		row, err := decodeMessageRow(v)
		if err != nil {
			return err
		}
		id := row.message.ID
		if row.owed != c.owed[id] {
			return fmt.Errorf("message %s is owed to %d, rows say %d", id, row.owed, c.owed[id])
		}
		delete(c.owed, id)
		number := row.position.Segment()
		segments[number] = segmentRow{segments[number].messages + 1, segments[number].bytes + row.bytes}
		return nil
	})
	if err == nil && len(c.owed) > 0 {
		err = fmt.Errorf("%d messages with recipients have no row", len(c.owed))
	}
	return errors.Join(err, c.checkSegments(segments))
}

func (c *census) checkSegments(want map[uint32]segmentRow) error {
	rows := 0
	err := c.tx.Bucket([]byte(bucketSegments)).ForEach(func(k, v []byte) error {
		row, err := decodeSegmentRow(v)
		if err != nil {
			return err
		}
		rows++
		if number := binary.BigEndian.Uint32(k); row != want[number] {
			return fmt.Errorf("segment %d: row %+v, messages say %+v", number, row, want[number])
		}
		return nil
	})
	if err == nil && rows != len(want) {
		err = fmt.Errorf("%d segment rows for %d segments", rows, len(want))
	}
	return err
}

func (c *census) checkQueues() error {
	rows := 0
	err := c.tx.Bucket([]byte(bucketQueues)).ForEach(func(k, v []byte) error {
		row, err := decodeQueueRow(v)
		if err != nil {
			return err
		}
		rows++
		if id := binary.BigEndian.Uint64(k); row.count != c.recipients[id] {
			return fmt.Errorf("queue %d counts %d, rows say %d", id, row.count, c.recipients[id])
		}
		return nil
	})
	if err == nil && rows != len(c.recipients) {
		err = fmt.Errorf("%d queue rows for %d queues", rows, len(c.recipients))
	}
	return err
}

// checkMemory compares what memory counts with its entries and the rows that
// have none.
func (s *Store) checkMemory(c *census) error {
	unloaded, waits := map[uint64]int{}, 0
	for key, id := range c.queueOf {
		if s.entries[key] == nil {
			unloaded[id]++
		}
	}
	total := int64(0)
	for id, q := range s.byID {
		total += int64(q.count)
		waits += len(q.head)
		count, held := unloaded[id], 0
		for e := q.first; e != nil; e = e.next {
			if e.state != gone {
				count++
			}
			if e.held() {
				held++
			}
		}
		if q.unloaded != unloaded[id] || q.count != count || q.leased != held {
			return fmt.Errorf("queue %d: unloaded %d, count %d, leased %d; found %d, %d, %d",
				id, q.unloaded, q.count, q.leased, unloaded[id], count, held)
		}
	}
	if total != s.recipients || waits != s.heads {
		return fmt.Errorf("memory counts %d recipients and %d in heads, queues say %d and %d", s.recipients, s.heads, total, waits)
	}
	return s.checkUsers()
}

func (s *Store) checkUsers() error {
	users := map[*message]int{}
	for _, e := range s.entries {
		users[e.message]++
	}
	owed := int64(0)
	for _, row := range s.segments {
		owed += row.messages
	}
	if owed != s.owedMessages {
		return fmt.Errorf("memory counts %d messages, segments say %d", s.owedMessages, owed)
	}
	for id, m := range s.messages {
		if m.users < users[m] || m.users == 0 && m.place == 0 && !m.frozen {
			return fmt.Errorf("message %s: %d users, found %d", id, m.users, users[m])
		}
	}
	return nil
}

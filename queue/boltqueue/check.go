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
	if s.checkpoints.unfinished != (unfinished{}) {
		if err := s.checkpointNow(false); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view(func(tx *bolt.Tx) error {
		c := newCensus(tx)
		c.remember = true
		return errors.Join(c.countRows(), c.checkDue(), c.checkMessages(), c.checkUsage(), c.checkQueues(), s.checkMemory(c))
	})
}

// census counts rows.
type census struct {
	tx     *bolt.Tx
	queues map[uint64]*queueCensus
	owed   map[queue.ID]int
	// rows counts all, timed those that belong into the due index.
	rows, timed int
	// remember keeps when each is due, for a comparison with memory.
	remember bool
}

// queueCensus is what was found of a queue.
type queueCensus struct {
	rows, prompt int
	// first is the first prompt one.
	first recipientKey
	due   map[recipientKey]int64
}

func newCensus(tx *bolt.Tx) *census {
	return &census{tx: tx, queues: map[uint64]*queueCensus{}, owed: map[queue.ID]int{}}
}

func (c *census) queue(id uint64) *queueCensus {
	q := c.queues[id]
	if q == nil {
		q = &queueCensus{due: map[recipientKey]int64{}}
		c.queues[id] = q
	}
	return q
}

func (c *census) countRows() error {
	return c.tx.Bucket([]byte(bucketRecipients)).ForEach(func(k, v []byte) error {
		row, err := decodeRecipientRow(v)
		if err != nil {
			return err
		}
		id, key := binary.BigEndian.Uint64(k), parseRecipientKey(k[queueKeyLength:])
		q, m := c.queue(id), mark{row.due, key}
		q.rows++
		c.owed[key.message]++
		c.rows++
		if c.remember {
			q.due[key] = row.due
		}
		if m.prompt() {
			if q.prompt++; q.prompt == 1 {
				q.first = key
			}
			return nil
		}
		c.timed++
		if c.tx.Bucket([]byte(bucketDue)).Get(appendDueKey(nil, id, m)) == nil {
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
	if err == nil && n != c.timed {
		err = fmt.Errorf("due index has %d keys for %d recipients", n, c.timed)
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
		id := binary.BigEndian.Uint64(k)
		q := c.queue(id)
		if row.count != q.rows || row.prompt != q.prompt {
			return fmt.Errorf("queue %d counts %d, %d of them prompt, rows say %d and %d",
				id, row.count, row.prompt, q.rows, q.prompt)
		}
		if q.prompt > 0 && q.first.compare(row.first) < 0 {
			return fmt.Errorf("queue %d has prompt recipients before where its row says", id)
		}
		return nil
	})
	if err == nil && rows != len(c.queues) {
		err = fmt.Errorf("%d queue rows for %d queues", rows, len(c.queues))
	}
	return err
}

// checkMemory compares what memory counts with its entries and the rows that
// have none.
func (s *Store) checkMemory(c *census) error {
	waits, total := 0, int64(0)
	for id, q := range s.byID {
		total += int64(q.count)
		waits += len(q.head)
		prompt, timed := s.unloadedOf(c.queue(id))
		count, held := prompt+timed, 0
		for e := q.first; e != nil; e = e.next {
			if e.state != gone {
				count++
			}
			if e.held() {
				held++
			}
		}
		if q.prompt.unloaded != prompt || q.timed.unloaded != timed || q.count != count || q.leased != held {
			return fmt.Errorf("queue %d: unloaded %d and %d, count %d, leased %d; found %d and %d, %d, %d",
				id, q.prompt.unloaded, q.timed.unloaded, q.count, q.leased, prompt, timed, count, held)
		}
		if err := s.checkHorizons(q, c.queue(id)); err != nil {
			return err
		}
	}
	if total != s.recipients || waits != s.heads {
		return fmt.Errorf("memory counts %d recipients and %d in heads, queues say %d and %d", s.recipients, s.heads, total, waits)
	}
	return s.checkUsers()
}

func (s *Store) unloadedOf(q *queueCensus) (prompt, timed int) {
	for key, due := range q.due {
		switch {
		case s.entries[key] != nil:
		case (mark{due, key}).prompt():
			prompt++
		default:
			timed++
		}
	}
	return prompt, timed
}

// checkHorizons wants no row without an entry before the horizon of its run.
func (s *Store) checkHorizons(q *queueState, found *queueCensus) error {
	for key, due := range found.due {
		m, r := mark{due, key}, &q.timed
		if s.entries[key] != nil {
			continue
		}
		if m.prompt() {
			m, r = key.bornMark(), &q.prompt
		}
		if m.before(r.horizon) {
			return fmt.Errorf("recipient %s is before the horizon of queue %d", key.id(), q.id)
		}
	}
	return nil
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

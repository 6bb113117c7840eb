package boltqueue

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/queue"
)

// loadMessage returns a message that is owed, from memory or from its row; nil
// if there is none. Store.mu is held, or nothing runs yet.
func (s *Store) loadMessage(id queue.ID) (*message, error) {
	if msg := s.messages[id]; msg != nil {
		return msg, nil
	}
	row, err := s.readMessage(id)
	if err != nil || row == nil {
		return nil, err
	}
	return s.adoptMessage(row), nil
}

func (s *Store) readMessage(id queue.ID) (*messageRow, error) {
	var row *messageRow
	err := s.view(func(tx *bolt.Tx) error {
		v := tx.Bucket([]byte(bucketMessages)).Get(id[:])
		if v == nil {
			return nil
		}
		r, err := decodeMessageRow(v)
		row = &r
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read message %s: %w", id, err)
	}
	return row, nil
}

func (s *Store) adoptMessage(row *messageRow) *message {
	msg := &message{
		shared: row.message, position: row.position, bytes: row.bytes, owed: row.owed, queues: row.queues,
		dirt: dirt{stored: true},
	}
	s.messages[msg.shared.ID] = msg
	return msg
}

// loadEntry returns a recipient, from memory or from its row; nil if there is
// none. An entry from a row is in no head. Nothing else runs yet.
func (s *Store) loadEntry(id uint64, key recipientKey) (*entry, error) {
	if e := s.entries[key]; e != nil {
		return e, nil
	}
	if s.byID[id] == nil {
		return nil, nil
	}
	found := foundRow{queue: id, key: key}
	err := s.view(func(tx *bolt.Tx) error { return found.read(tx, nil) })
	if err != nil || found.message == nil {
		return nil, err
	}
	return s.adopt(&found), nil
}

// foundRow is a recipient as bbolt holds it.
type foundRow struct {
	queue uint64
	key   recipientKey
	recipientRow
	// message is nil if the recipient has no row.
	message *messageRow
}

// read fills the row. messages are those read before in the same transaction.
func (f *foundRow) read(tx *bolt.Tx, messages map[queue.ID]*messageRow) error {
	v := tx.Bucket([]byte(bucketRecipients)).Get(appendRecipientRowKey(nil, f.queue, f.key))
	if v == nil {
		return nil
	}
	return f.decode(tx, v, messages)
}

func (f *foundRow) decode(tx *bolt.Tx, v []byte, messages map[queue.ID]*messageRow) error {
	row, err := decodeRecipientRow(v)
	if err != nil {
		return err
	}
	f.recipientRow = row
	if f.message = messages[f.key.message]; f.message != nil {
		return nil
	}
	m, err := decodeMessageRow(tx.Bucket([]byte(bucketMessages)).Get(f.key.message[:]))
	if err != nil {
		return err
	}
	f.message = &m
	if messages != nil {
		messages[f.key.message] = &m
	}
	return nil
}

// adopt puts a recipient that was read into memory, in no head yet. Whoever
// read without the lock has checked the generation.
func (s *Store) adopt(f *foundRow) *entry {
	msg := s.messages[f.key.message]
	if msg == nil {
		msg = s.adoptMessage(f.message)
	}
	q := s.byID[f.queue]
	q.unloaded--
	e := s.addEntry(msg, q, f.key.index, f.recipientRow)
	e.stored, e.aside = true, f.aside
	return e
}

// duePage is a part of a queue's due index.
type duePage struct {
	rows []foundRow
	// next is where the first row behind the page is; its due is never if
	// there is none.
	next mark
	// unreadable counts rows that were passed over.
	unreadable int
}

// readDue reads rows from a mark on that are due by now, at most limit.
func (s *Store) readDue(id uint64, from mark, now int64, limit int) (duePage, error) {
	page := duePage{next: mark{due: never}}
	err := s.view(func(tx *bolt.Tx) error {
		messages := map[queue.ID]*messageRow{}
		prefix := binary.BigEndian.AppendUint64(nil, id)
		c := tx.Bucket([]byte(bucketDue)).Cursor()
		for k, _ := c.Seek(appendDueKey(nil, id, from)); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			m, ok := parseDueKey(k)
			if !ok {
				page.unreadable++
				continue
			}
			if m.due > now || len(page.rows) == limit {
				page.next = m
				return nil
			}
			found := foundRow{queue: id, key: m.recipientKey}
			if err := found.read(tx, messages); err != nil || found.message == nil {
				page.unreadable++
				continue
			}
			page.rows = append(page.rows, found)
		}
		return nil
	})
	if err != nil {
		return page, fmt.Errorf("read due index: %w", err)
	}
	return page, nil
}

// refill reads the next due rows of a queue into its head. Store.mu is held,
// but not while it reads.
func (s *Store) refill(q *queueState, now int64, want int) error {
	from, generation := q.horizon, s.generation
	if s.heads < s.options.HeadTotal {
		want = max(want, s.options.HeadLength)
	}
	s.mu.Unlock()
	page, err := s.readDue(q.id, from, now, want)
	s.mu.Lock()
	if err != nil {
		return err
	}
	if generation != s.generation || q.horizon != from || s.byID[q.id] != q {
		return nil // the rows moved meanwhile: the caller looks again
	}
	for i := range page.rows {
		if s.entries[page.rows[i].key] == nil {
			s.wait(s.adopt(&page.rows[i]))
		}
	}
	q.horizon = page.next
	if page.unreadable > 0 {
		s.damaged.Add(int64(page.unreadable))
		s.options.Logger.Error("store: rows of the due index cannot be read", "rows", page.unreadable)
	}
	return nil
}

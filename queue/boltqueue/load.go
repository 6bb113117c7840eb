package boltqueue

import (
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
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
	row, ok := foundRow{queue: id, key: key}, false
	err := s.view(func(tx *bolt.Tx) (err error) {
		ok, err = row.read(tx, nil)
		return err
	})
	if err != nil || !ok {
		return nil, err
	}
	if !s.complete(&row) {
		return nil, fmt.Errorf("recipient %s: %w", key.id(), errNoMessage)
	}
	return s.adopt(&row), nil
}

// errNoMessage: a recipient's row without its message's.
var errNoMessage = errors.New("its message has no row")

// foundRow is a recipient as bbolt holds it.
type foundRow struct {
	queue uint64
	key   recipientKey
	recipientRow
	// message is nil if it has no row, as long as the checkpoint that it came
	// with is unfinished; then it is in memory.
	message *messageRow
}

// read fills the row, and reports whether there is one. messages are those read
// before in the same transaction.
func (f *foundRow) read(tx *bolt.Tx, messages map[queue.ID]*messageRow) (bool, error) {
	v := tx.Bucket([]byte(bucketRecipients)).Get(appendRecipientRowKey(nil, f.queue, f.key))
	if v == nil {
		return false, nil
	}
	return true, f.decode(tx, v, messages)
}

// readable is read where a row that cannot be read is as good as none.
func (f *foundRow) readable(tx *bolt.Tx, messages map[queue.ID]*messageRow) (ok bool) {
	err := boltguard.Run(func() (err error) {
		ok, err = f.read(tx, messages)
		return err
	})
	return ok && err == nil
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
	v = tx.Bucket([]byte(bucketMessages)).Get(f.key.message[:])
	if v == nil {
		return nil
	}
	m, err := decodeMessageRow(v)
	if err != nil {
		return err
	}
	f.message = &m
	if messages != nil {
		messages[f.key.message] = &m
	}
	return nil
}

// complete finds the message of a row where it has no row of its own yet.
// Store.mu is held, or nothing runs yet; whoever read without the lock has
// checked the generation.
func (s *Store) complete(f *foundRow) bool {
	if f.message == nil {
		if msg := s.messages[f.key.message]; msg != nil {
			f.message = &messageRow{message: msg.shared}
		}
	}
	return f.message != nil
}

// adopt puts a recipient that was read into memory, in no head yet. Whoever
// read without the lock has checked the generation.
func (s *Store) adopt(f *foundRow) *entry {
	msg := s.messages[f.key.message]
	if msg == nil {
		msg = s.adoptMessage(f.message)
	}
	q := s.byID[f.queue]
	q.run(mark{f.due, f.key}).unloaded--
	e := s.addEntry(msg, q, f.key.index, f.recipientRow)
	e.stored, e.aside = true, f.aside
	return e
}

// duePage is a part of a run.
type duePage struct {
	rows []foundRow
	// next is where the first row behind the page is; its due is never if
	// there is none.
	next mark
	// unreadable counts rows that were passed over.
	unreadable int
}

// scanRows is how many rows a search for prompt ones looks at in one go.
const scanRows = 5000

// readPrompt reads prompt rows from a mark on that may be due by now, at most
// limit. What it gives as next may be a row that is not prompt.
func (s *Store) readPrompt(id uint64, from mark, now int64, limit int) (duePage, error) {
	page := duePage{next: mark{due: never}}
	err := s.view(func(tx *bolt.Tx) error {
		messages := map[queue.ID]*messageRow{}
		c := soundCursor{cursor: tx.Bucket([]byte(bucketRecipients)).Cursor(), prefix: queueRowKey(id)}
		defer func() { page.unreadable += c.gaps }()
		looked := 0
		for k := c.seek(appendRecipientRowKey(nil, id, from.recipientKey)); k != nil; k = c.next() {
			if len(k) != recipientKeyLength {
				page.unreadable++
				continue
			}
			found := foundRow{queue: id, key: decodePlace(k).key}
			at := found.key.bornMark()
			if at.due > now || looked == scanRows || len(page.rows) == limit {
				page.next = at
				return nil
			}
			looked++
			switch prompt, err := found.decodePrompt(tx, c.value, messages); {
			case err != nil:
				page.unreadable++
			case prompt:
				page.rows = append(page.rows, found)
			}
		}
		return nil
	})
	if err != nil {
		return page, fmt.Errorf("read prompt recipients: %w", err)
	}
	return page, nil
}

// decodePrompt fills the row if it is prompt, and reports whether it is.
func (f *foundRow) decodePrompt(tx *bolt.Tx, v []byte, messages map[queue.ID]*messageRow) (prompt bool, err error) {
	err = boltguard.Run(func() error {
		d := decoder{b: v}
		if due := d.number(); d.err == nil && !(mark{due, f.key}).prompt() {
			return nil
		}
		prompt = true
		return f.decode(tx, v, messages)
	})
	return prompt, err
}

// readDue reads rows of the due index from a mark on that are due by now, at
// most limit.
func (s *Store) readDue(id uint64, from mark, now int64, limit int) (duePage, error) {
	page := duePage{next: mark{due: never}}
	err := s.view(func(tx *bolt.Tx) error {
		messages := map[queue.ID]*messageRow{}
		prefix := binary.BigEndian.AppendUint64(nil, id)
		c := soundCursor{cursor: tx.Bucket([]byte(bucketDue)).Cursor(), prefix: prefix}
		defer func() { page.unreadable += c.gaps }()
		for k := c.seek(appendDueKey(nil, id, from)); k != nil; k = c.next() {
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
			if !found.readable(tx, messages) {
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
	r, read := q.nearest(), s.readDue
	if r == &q.prompt {
		read = s.readPrompt
	}
	from, generation := r.horizon, s.generation
	if s.heads < s.options.HeadTotal {
		want = max(want, s.options.HeadLength)
	}
	s.mu.Unlock()
	page, err := read(q.id, from, now, want)
	s.mu.Lock()
	if err != nil {
		return err
	}
	if generation != s.generation || r.horizon != from || s.byID[q.id] != q {
		return nil // the rows moved meanwhile: the caller looks again
	}
	for i := range page.rows {
		row := &page.rows[i]
		switch {
		case s.entries[row.key] != nil:
		case !s.complete(row):
			page.unreadable++
		case s.cancelOf(&found{place: place{q.id, row.key}, row: row}) == nil:
			s.wait(s.adopt(row))
		}
	}
	r.horizon = page.next
	if page.unreadable > 0 {
		s.passedOver(page.unreadable)
	}
	return nil
}

package boltqueue

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/queue"
)

// errCursor: a place that no page ended at.
var errCursor = errors.New("not a place in a list")

// pageRows is how many rows are read at once.
const pageRows = 500

// place is a recipient's place in the order of all: queue, message, index. It
// stands behind what was seen.
type place struct {
	queue uint64
	key   recipientKey
}

func (p place) String() string { return hex.EncodeToString(appendRecipientRowKey(nil, p.queue, p.key)) }

func parsePlace(s string) (place, error) {
	if s == "" {
		return place{}, nil
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != recipientKeyLength {
		return place{}, errCursor
	}
	return decodePlace(b), nil
}

// decodePlace reads a key of the recipients bucket.
func decodePlace(b []byte) place {
	return place{binary.BigEndian.Uint64(b), parseRecipientKey(b[queueKeyLength:])}
}

func (k recipientKey) compare(other recipientKey) int {
	return cmp.Or(bytes.Compare(k.message[:], other.message[:]), cmp.Compare(k.index, other.index))
}

// found is one recipient met by a walk: an entry, or a row without one.
type found struct {
	place
	entry *entry
	row   *foundRow
}

func (f *found) message() *queue.Message {
	if f.entry != nil {
		return f.entry.message.shared
	}
	return f.row.message.message
}

func (f *found) view() recipientRow {
	if f.entry != nil {
		return f.entry.row()
	}
	return f.row.recipientRow
}

// walk visits the owed recipients that match, in the order of their places,
// from behind a place on, until visit returns false. visit runs with Store.mu
// held and sees at most pageRows recipients before others may have it.
func (s *Store) walk(ctx context.Context, sel queue.Selector, from place, visit func(*found) bool) error {
	ids, err := s.queueIDs(sel)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if id < from.queue {
			continue
		}
		r := keyRange{id: id}
		if id == from.queue {
			r.after, r.exclusive = from.key, true
		}
		if !sel.Message.IsZero() {
			r.narrow(sel.Message)
		}
		if more, err := s.walkQueue(ctx, r, sel, visit); err != nil || !more {
			return err
		}
	}
	return nil
}

// keyRange is a part of a queue: the recipients from after on.
type keyRange struct {
	id    uint64
	after recipientKey
	// exclusive: after itself is not in the range.
	exclusive bool
	// message, if set, is the only one in the range.
	message queue.ID
	// read are messages that further ranges are likely to need again; may be nil.
	read *readMessages
}

// readMessages are messages that were read in one generation of the rows.
type readMessages struct {
	generation uint64
	rows       map[queue.ID]*messageRow
}

// mostRead is how many messages are kept for the next page.
const mostRead = 4096

// at returns those of a generation.
func (m *readMessages) at(generation uint64) map[queue.ID]*messageRow {
	if m == nil {
		return map[queue.ID]*messageRow{}
	}
	if m.rows == nil || m.generation != generation || len(m.rows) > mostRead {
		m.generation, m.rows = generation, map[queue.ID]*messageRow{}
	}
	return m.rows
}

func (r *keyRange) narrow(id queue.ID) {
	r.message = id
	if first := (recipientKey{message: id}); first.compare(r.after) > 0 {
		r.after, r.exclusive = first, false
	}
}

func (r *keyRange) holds(k recipientKey) bool {
	c := k.compare(r.after)
	return (c > 0 || c == 0 && !r.exclusive) && (r.message.IsZero() || k.message == r.message)
}

func (s *Store) walkQueue(ctx context.Context, r keyRange, sel queue.Selector, visit func(*found) bool) (more bool, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		s.mu.Lock()
		generation := s.generation
		s.mu.Unlock()
		rows, last, err := s.readRows(r, r.read.at(generation))
		if err != nil {
			return false, err
		}
		s.mu.Lock()
		if generation != s.generation {
			s.mu.Unlock()
			continue // a checkpoint came between
		}
		more := s.visitPage(r, rows, last, sel, visit)
		s.mu.Unlock()
		if !more || last {
			return more, nil
		}
		r.after, r.exclusive = rows[len(rows)-1].key, true
	}
}

// readRows reads a page of rows; last reports that none follow. It adds to the
// messages that were read in the same generation.
func (s *Store) readRows(r keyRange, messages map[queue.ID]*messageRow) (rows []foundRow, last bool, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		prefix := queueRowKey(r.id)
		c := tx.Bucket([]byte(bucketRecipients)).Cursor()
		for k, v := c.Seek(appendRecipientRowKey(nil, r.id, r.after)); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			key := parseRecipientKey(k[queueKeyLength:])
			if !r.holds(key) {
				if key.compare(r.after) > 0 {
					break
				}
				continue
			}
			if len(rows) == pageRows {
				return nil
			}
			f := foundRow{queue: r.id, key: key}
			if err := f.decode(tx, v, messages); err != nil {
				s.damaged.Add(1)
				continue
			}
			rows = append(rows, f)
		}
		last = true
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("read recipients: %w", err)
	}
	return rows, last, nil
}

// visitPage visits rows and the entries among them. Store.mu is held.
func (s *Store) visitPage(r keyRange, rows []foundRow, last bool, sel queue.Selector, visit func(*found) bool) bool {
	q := s.byID[r.id]
	if q == nil {
		return true
	}
	limit := recipientKey{index: math.MaxUint32}
	if !last {
		limit = rows[len(rows)-1].key
	}
	var page []found
	for i := range rows {
		switch {
		case s.entries[rows[i].key] != nil:
		case s.complete(&rows[i]):
			page = append(page, found{place: place{r.id, rows[i].key}, row: &rows[i]})
		default:
			s.damaged.Add(1)
		}
	}
	for e := q.first; e != nil; e = e.next {
		if k := e.key(); e.state != gone && r.holds(k) && (last || k.compare(limit) <= 0) {
			page = append(page, found{place: place{r.id, k}, entry: e})
		}
	}
	slices.SortFunc(page, func(a, b found) int { return a.key.compare(b.key) })
	for i := range page {
		f := &page[i]
		if sel.Match(f.message(), f.view().recipient.Address) && !visit(f) {
			return false
		}
	}
	return true
}

// queueIDs returns the queues that may hold what is selected, in order.
func (s *Store) queueIDs(sel queue.Selector) ([]uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, queue.ErrClosed
	}
	var ids []uint64
	if !sel.Message.IsZero() {
		msg, err := s.loadMessage(sel.Message)
		if err != nil || msg == nil {
			return nil, err
		}
		ids = msg.queues.numbers()
		s.forgetMessage(msg)
	} else {
		domain := sel.Recipient.Domain()
		for id, q := range s.byID {
			if (sel.Tenant == "" || sel.Tenant == q.key.Tenant) && (sel.Stream == "" || sel.Stream == q.key.Stream) &&
				(sel.Domain == "" || sel.Domain == q.key.Domain) && (domain == "" || domain == q.key.Domain) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// List implements queue.Store. The order is that of queues by age, and of
// messages by id within each.
func (s *Store) List(ctx context.Context, sel queue.Selector, after string, limit int) ([]queue.Entry, string, error) {
	from, err := parsePlace(after)
	if err != nil {
		return nil, "", err
	}
	limit = max(limit, 1)
	var entries []queue.Entry
	var lasts [][]byte
	var end place
	next := ""
	err = s.walk(ctx, sel, from, func(f *found) bool {
		if len(entries) == limit {
			next = end.String()
			return false
		}
		row := f.view()
		entries = append(entries, queue.Entry{
			Message: f.message(), Index: int(f.key.index), Recipient: row.recipient,
			Attempts: int(row.attempts), Due: fromNanoseconds(shownDue(row.due, row.aside, f.message())),
			Leased: f.entry != nil && f.entry.held(), Held: s.holds.reason(f.message(), &row.recipient),
		})
		lasts = append(lasts, row.last)
		end = f.place
		return true
	})
	if err != nil {
		return nil, "", err
	}
	for i, last := range lasts {
		if len(last) == 0 {
			continue
		}
		e, err := decodeEvent(last)
		if err != nil {
			return nil, "", err
		}
		entries[i].Last = &e
	}
	return entries, next, nil
}

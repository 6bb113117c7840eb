package boltqueue

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/queue"
)

// Queues implements queue.Store. Each queue costs a look at two keys.
func (s *Store) Queues(ctx context.Context) ([]queue.Status, error) {
	ids, err := s.queueIDs(queue.Selector{})
	if err != nil {
		return nil, err
	}
	all := make([]queue.Status, 0, len(ids))
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		st, err := s.status(id)
		if err != nil {
			return nil, err
		}
		if st.Waiting > 0 {
			all = append(all, st)
		}
	}
	slices.SortFunc(all, func(a, b queue.Status) int {
		return cmp.Or(cmp.Compare(a.Key.Tenant, b.Key.Tenant), cmp.Compare(a.Key.Stream, b.Key.Stream),
			cmp.Compare(a.Key.Domain, b.Key.Domain))
	})
	return all, nil
}

// status holds the lock while it reads a few rows, so that rows and entries
// belong together.
func (s *Store) status(id uint64) (queue.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byID[id]
	if q == nil || q.count == 0 {
		return queue.Status{}, nil
	}
	st := queue.Status{
		Key: q.key, Waiting: q.count, Leased: q.leased,
		Held: s.holds.ofQueue(q.key) != nil, Opens: s.opens(q.key, s.options.Now()),
	}
	due := int64(never)
	for e := q.first; e != nil; e = e.next {
		if e.state == gone {
			continue
		}
		if at := e.message.shared.Accepted; st.Oldest.IsZero() || at.Before(st.Oldest) {
			st.Oldest = at
		}
		if !e.held() {
			due = min(due, shownDue(e.due, e.aside, e.message.shared))
		}
	}
	if q.unloaded() > 0 {
		if err := s.statusOfRows(q, &st.Oldest, &due); err != nil && !errors.Is(err, boltguard.ErrDamaged) {
			return st, err
		}
	}
	if due != never {
		st.NextDue = fromNanoseconds(due)
	}
	return st, nil
}

// statusOfRows takes the first rows that are not in memory into account.
func (s *Store) statusOfRows(q *queueState, oldest *time.Time, due *int64) error {
	return s.view(func(tx *bolt.Tx) error {
		prefix := queueRowKey(q.id)
		c := tx.Bucket([]byte(bucketRecipients)).Cursor()
		for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			key := parseRecipientKey(k[queueKeyLength:])
			if s.entries[key] != nil {
				continue
			}
			accepted, err := s.acceptedAt(tx, key.message)
			if err != nil {
				return fmt.Errorf("read oldest message: %w", err)
			}
			if oldest.IsZero() || accepted.Before(*oldest) {
				*oldest = accepted
			}
			break
		}
		if q.timed.unloaded > 0 {
			*due = min(*due, s.firstTimed(tx, q))
		}
		if q.prompt.unloaded > 0 {
			*due = min(*due, s.firstPrompt(tx, q))
		}
		return nil
	})
}

// firstTimed returns when the first row that is not prompt and has no entry is
// due.
func (s *Store) firstTimed(tx *bolt.Tx, q *queueState) int64 {
	prefix := queueRowKey(q.id)
	c := tx.Bucket([]byte(bucketDue)).Cursor()
	for k, _ := c.Seek(appendDueKey(nil, q.id, q.timed.horizon)); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		if m, ok := parseDueKey(k); ok && s.entries[m.recipientKey] == nil {
			return m.due
		}
	}
	return never
}

// firstPrompt is firstTimed for the prompt ones. It looks at some rows only, and
// may then be early.
func (s *Store) firstPrompt(tx *bolt.Tx, q *queueState) int64 {
	prefix := queueRowKey(q.id)
	c := tx.Bucket([]byte(bucketRecipients)).Cursor()
	looked := 0
	for k, v := c.Seek(appendRecipientRowKey(nil, q.id, q.prompt.horizon.recipientKey)); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		key := decodePlace(k).key
		if looked++; looked == scanRows {
			return key.born()
		}
		d := decoder{b: v}
		if m := (mark{d.number(), key}); m.prompt() && s.entries[key] == nil {
			return m.due
		}
	}
	return never
}

// acceptedAt reads when a message was accepted. One that a checkpoint is writing
// may have no row yet.
func (s *Store) acceptedAt(tx *bolt.Tx, id queue.ID) (time.Time, error) {
	if msg := s.messages[id]; msg != nil {
		return msg.shared.Accepted, nil
	}
	row, err := decodeMessageRow(tx.Bucket([]byte(bucketMessages)).Get(id[:]))
	if err != nil {
		return time.Time{}, err
	}
	return row.message.Accepted, nil
}

// Stats implements queue.Store.
func (s *Store) Stats() queue.Stats {
	j := s.journal.Stats()
	s.mu.Lock()
	st := queue.Stats{
		Recipients: s.recipients, Messages: s.owedMessages, Queues: s.filled, Fault: s.checkpoints.fault,
	}
	s.mu.Unlock()
	st.JournalBytes, st.DatabaseBytes = j.Bytes, s.databaseBytes()
	st.Syncs, st.Records = j.Syncs, j.Records
	st.Damaged = j.Damaged + s.damaged.Load()
	if fault := s.journal.Fault(); fault != nil {
		st.Fault = fault
	}
	if st.Fault == nil {
		st.Fault = s.space.check(0)
	}
	return st
}

func (s *Store) databaseBytes() int64 {
	info, err := os.Stat(filepath.Join(s.options.Dir, databaseName))
	if err != nil {
		return 0
	}
	return info.Size()
}

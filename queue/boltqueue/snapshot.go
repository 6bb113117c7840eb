package boltqueue

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/queue/journal"
)

// snapshot is the net effect of the journal since the last checkpoint. It is
// written in the order of the keys.
type snapshot struct {
	position  journal.Position
	nextQueue uint64
	clean     bool
	entries   []frozenEntry
	messages  []frozenMessage
	// segments are the rows that changed, owed all of them.
	segments, owed map[uint32]segmentRow
}

type frozenEntry struct {
	entry *entry
	queue *queueState
	key   recipientKey
	gone  bool
	row   recipientRow
}

type frozenMessage struct {
	message *message
	row     messageRow
}

func (s *snapshot) empty() bool {
	return len(s.entries) == 0 && len(s.messages) == 0 && len(s.segments) == 0
}

func (s *snapshot) write(tx *bolt.Tx) error {
	w := snapshotWriter{tx: tx, counts: map[uint64]int{}}
	s.sort()
	if err := w.recipients(s.entries); err != nil {
		return fmt.Errorf("write recipients: %w", err)
	}
	if err := w.dueIndex(); err != nil {
		return fmt.Errorf("write due index: %w", err)
	}
	if err := w.queues(s.entries); err != nil {
		return fmt.Errorf("write queues: %w", err)
	}
	if err := w.messages(s.messages); err != nil {
		return fmt.Errorf("write messages: %w", err)
	}
	if err := w.segments(s.segments); err != nil {
		return fmt.Errorf("write segments: %w", err)
	}
	return s.writeMeta(tx)
}

func (s *snapshot) sort() {
	slices.SortFunc(s.entries, func(a, b frozenEntry) int {
		return cmp.Or(cmp.Compare(a.queue.id, b.queue.id),
			bytes.Compare(a.key.message[:], b.key.message[:]), cmp.Compare(a.key.index, b.key.index))
	})
	slices.SortFunc(s.messages, func(a, b frozenMessage) int {
		return bytes.Compare(a.row.message.ID[:], b.row.message.ID[:])
	})
}

func (s *snapshot) writeMeta(tx *bolt.Tx) error {
	meta := tx.Bucket([]byte(bucketMeta))
	clean := uint64(0)
	if s.clean {
		clean = 1
	}
	for name, value := range map[string]uint64{
		metaPosition: uint64(s.position), metaQueues: s.nextQueue, metaClean: clean,
	} {
		if err := putNumber(meta, name, value); err != nil {
			return err
		}
	}
	return nil
}

// snapshotWriter writes one snapshot.
type snapshotWriter struct {
	tx *bolt.Tx
	// arena holds the values: bbolt wants them alive until the commit.
	arena []byte
	// added and removed are keys of the due index.
	added, removed [][]byte
	// counts is by how much each queue grew.
	counts map[uint64]int
}

// keep returns what encode appended, alive as long as the writer.
func (w *snapshotWriter) keep(encode func([]byte) []byte) []byte {
	const chunk = 64 << 10
	if cap(w.arena)-len(w.arena) < 1<<10 {
		w.arena = make([]byte, 0, chunk)
	}
	start := len(w.arena)
	w.arena = encode(w.arena)
	return w.arena[start:len(w.arena):len(w.arena)]
}

// recipients trusts only the rows it finds: if an earlier commit took effect
// although it was reported as failed, nothing is counted twice.
func (w *snapshotWriter) recipients(entries []frozenEntry) error {
	b := w.tx.Bucket([]byte(bucketRecipients))
	for i := range entries {
		f := &entries[i]
		id := f.queue.id
		key := w.keep(func(b []byte) []byte { return appendRecipientRowKey(b, id, f.key) })
		before := int64(-1)
		if v := b.Get(key); v != nil {
			d := decoder{b: v}
			before = d.number()
			w.counts[id]--
		}
		if before >= 0 && (f.gone || before != f.row.due) {
			w.removed = append(w.removed, w.dueKey(id, mark{before, f.key}))
		}
		if f.gone {
			if err := b.Delete(key); err != nil {
				return err
			}
			continue
		}
		w.counts[id]++
		if before != f.row.due {
			w.added = append(w.added, w.dueKey(id, f.mark()))
		}
		if err := b.Put(key, w.keep(f.row.append)); err != nil {
			return err
		}
	}
	return nil
}

func (f *frozenEntry) mark() mark { return mark{f.row.due, f.key} }

func (w *snapshotWriter) dueKey(id uint64, m mark) []byte {
	return w.keep(func(b []byte) []byte { return appendDueKey(b, id, m) })
}

func (w *snapshotWriter) dueIndex() error {
	b := w.tx.Bucket([]byte(bucketDue))
	slices.SortFunc(w.removed, bytes.Compare)
	for _, key := range w.removed {
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	slices.SortFunc(w.added, bytes.Compare)
	for _, key := range w.added {
		if err := b.Put(key, nil); err != nil {
			return err
		}
	}
	return nil
}

// queues rewrites the row of each queue that has an entry among the sorted
// ones.
func (w *snapshotWriter) queues(entries []frozenEntry) error {
	b := w.tx.Bucket([]byte(bucketQueues))
	cursor := w.tx.Bucket([]byte(bucketDue)).Cursor()
	for i := range entries {
		q := entries[i].queue
		if i > 0 && entries[i-1].queue.id == q.id {
			continue
		}
		key := queueRowKey(q.id)
		row := queueRow{key: q.key}
		if v := b.Get(key); v != nil {
			old, err := decodeQueueRow(v)
			if err != nil {
				return err
			}
			row.count = old.count
		}
		row.count += w.counts[q.id]
		if err := putQueue(b, cursor, key, row); err != nil {
			return err
		}
	}
	return nil
}

func putQueue(b *bolt.Bucket, due *bolt.Cursor, key []byte, row queueRow) error {
	if row.count <= 0 {
		return b.Delete(key)
	}
	if k, _ := due.Seek(key); bytes.HasPrefix(k, key) {
		if m, ok := parseDueKey(k); ok {
			row.due = m.due
		}
	}
	return b.Put(key, row.append(nil))
}

func (w *snapshotWriter) messages(messages []frozenMessage) error {
	b := w.tx.Bucket([]byte(bucketMessages))
	b.FillPercent = 0.9 // ids grow with time
	for i := range messages {
		row := &messages[i].row
		if row.owed == 0 {
			if err := b.Delete(row.message.ID[:]); err != nil {
				return err
			}
			continue
		}
		if err := b.Put(row.message.ID[:], w.keep(row.append)); err != nil {
			return err
		}
	}
	return nil
}

func (w *snapshotWriter) segments(segments map[uint32]segmentRow) error {
	b := w.tx.Bucket([]byte(bucketSegments))
	for number, row := range segments {
		key := binary.BigEndian.AppendUint32(nil, number)
		if row.messages == 0 {
			if err := b.Delete(key); err != nil {
				return err
			}
			continue
		}
		if err := b.Put(key, row.append(nil)); err != nil {
			return err
		}
	}
	return nil
}

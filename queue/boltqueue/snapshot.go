package boltqueue

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/queue"
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
	// values holds the encoded rows: bbolt wants them alive until the commit.
	values arena
	// added and removed are places in the due index.
	added, removed []dueRow
	// usage are the rows that changed; holds are all, if holdsChanged.
	usage        map[string]queue.Usage
	holds        []queue.Hold
	holdsChanged bool
}

// frozenEntry is a recipient as it was: others may change the entry meanwhile.
type frozenEntry struct {
	entry *entry
	queue *queueState
	key   recipientKey
	due   int64
	// value is the encoded row; nil if the recipient is gone.
	value []byte
}

func (f *frozenEntry) gone() bool { return f.value == nil }

func (f *frozenEntry) dueRow() dueRow { return dueRow{f.queue.id, mark{f.due, f.key}} }

// frozenMessage is a message with what may change of it.
type frozenMessage struct {
	message  *message
	position journal.Position
	bytes    int64
	owed     int
}

func (f *frozenMessage) row() messageRow {
	m := f.message
	return messageRow{position: f.position, bytes: f.bytes, owed: f.owed, queues: m.queues, message: m.shared}
}

// dueRow is a key of the due index.
type dueRow struct {
	queue uint64
	mark
}

func compareDue(a, b dueRow) int {
	return cmp.Or(cmp.Compare(a.queue, b.queue), cmp.Compare(a.due, b.due), a.recipientKey.compare(b.recipientKey))
}

func (s *snapshot) begin(position journal.Position, nextQueue uint64) {
	s.end() // a begin before may have had none
	s.position, s.nextQueue, s.clean = position, nextQueue, false
	s.segments, s.owed = map[uint32]segmentRow{}, map[uint32]segmentRow{}
	s.usage, s.holds, s.holdsChanged = nil, nil, false
}

// end lets go of what was frozen and keeps the room for the next time.
func (s *snapshot) end() {
	clear(s.entries)
	clear(s.messages)
	s.entries, s.messages = s.entries[:0], s.messages[:0]
	s.added, s.removed = s.added[:0], s.removed[:0]
	s.values.reset()
}

func (s *snapshot) addEntry(e *entry) {
	f := frozenEntry{entry: e, queue: e.queue, key: e.key(), due: e.due}
	if e.state != gone {
		row := e.row()
		f.value = s.values.keep(row.append)
	}
	s.entries = append(s.entries, f)
}

func (s *snapshot) addMessage(m *message) {
	s.messages = append(s.messages, frozenMessage{message: m, position: m.position, bytes: m.bytes, owed: m.owed})
}

func (s *snapshot) empty() bool {
	return len(s.entries) == 0 && len(s.messages) == 0 && len(s.segments) == 0 && len(s.usage) == 0 && !s.holdsChanged
}

func (s *snapshot) write(tx *bolt.Tx) error {
	w := snapshotWriter{snapshot: s, tx: tx, counts: map[uint64]int{}}
	s.added, s.removed = s.added[:0], s.removed[:0]
	s.sort()
	if err := w.recipients(); err != nil {
		return fmt.Errorf("write recipients: %w", err)
	}
	if err := w.dueIndex(); err != nil {
		return fmt.Errorf("write due index: %w", err)
	}
	if err := w.queues(); err != nil {
		return fmt.Errorf("write queues: %w", err)
	}
	if err := w.writeMessages(); err != nil {
		return fmt.Errorf("write messages: %w", err)
	}
	if err := w.writeSegments(); err != nil {
		return fmt.Errorf("write segments: %w", err)
	}
	if err := writeUsage(tx, s.usage); err != nil {
		return fmt.Errorf("write usage: %w", err)
	}
	if s.holdsChanged {
		if err := writeHolds(tx, s.holds); err != nil {
			return fmt.Errorf("write holds: %w", err)
		}
	}
	return s.writeMeta(tx)
}

func (s *snapshot) sort() {
	slices.SortFunc(s.entries, func(a, b frozenEntry) int {
		return cmp.Or(cmp.Compare(a.queue.id, b.queue.id), a.key.compare(b.key))
	})
	slices.SortFunc(s.messages, func(a, b frozenMessage) int {
		return bytes.Compare(a.message.shared.ID[:], b.message.shared.ID[:])
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
	*snapshot
	tx *bolt.Tx
	// key is a buffer: bbolt copies keys.
	key []byte
	// counts is by how much each queue grew.
	counts map[uint64]int
}

// recipients trusts only the rows it finds: if an earlier commit took effect
// although it was reported as failed, nothing is counted twice.
func (w *snapshotWriter) recipients() error {
	b := w.tx.Bucket([]byte(bucketRecipients))
	for i := range w.entries {
		if err := w.recipient(b, &w.entries[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *snapshotWriter) recipient(b *bolt.Bucket, f *frozenEntry) error {
	id := f.queue.id
	w.key = appendRecipientRowKey(w.key[:0], id, f.key)
	before := int64(-1)
	if v := b.Get(w.key); v != nil {
		d := decoder{b: v}
		before = d.number()
		w.counts[id]--
	}
	if before >= 0 && (f.gone() || before != f.due) {
		w.removed = append(w.removed, dueRow{id, mark{before, f.key}})
	}
	if f.gone() {
		return b.Delete(w.key)
	}
	w.counts[id]++
	if before != f.due {
		w.added = append(w.added, f.dueRow())
	}
	return b.Put(w.key, f.value)
}

func (w *snapshotWriter) dueIndex() error {
	b := w.tx.Bucket([]byte(bucketDue))
	slices.SortFunc(w.removed, compareDue)
	for _, row := range w.removed {
		w.key = appendDueKey(w.key[:0], row.queue, row.mark)
		if err := b.Delete(w.key); err != nil {
			return err
		}
	}
	slices.SortFunc(w.added, compareDue)
	for _, row := range w.added {
		w.key = appendDueKey(w.key[:0], row.queue, row.mark)
		if err := b.Put(w.key, nil); err != nil {
			return err
		}
	}
	return nil
}

// queues rewrites the row of each queue that has an entry among the sorted
// ones.
func (w *snapshotWriter) queues() error {
	b := w.tx.Bucket([]byte(bucketQueues))
	cursor := w.tx.Bucket([]byte(bucketDue)).Cursor()
	for i := range w.entries {
		q := w.entries[i].queue
		if i > 0 && w.entries[i-1].queue.id == q.id {
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

func (w *snapshotWriter) writeMessages() error {
	b := w.tx.Bucket([]byte(bucketMessages))
	b.FillPercent = 0.9 // ids grow with time
	for i := range w.messages {
		f := &w.messages[i]
		id := &f.message.shared.ID
		if f.owed == 0 {
			if err := b.Delete(id[:]); err != nil {
				return err
			}
			continue
		}
		row := f.row()
		if err := b.Put(id[:], w.values.keep(row.append)); err != nil {
			return err
		}
	}
	return nil
}

func (w *snapshotWriter) writeSegments() error {
	b := w.tx.Bucket([]byte(bucketSegments))
	for number, row := range w.segments {
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

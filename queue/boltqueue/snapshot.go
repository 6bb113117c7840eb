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
	releases     []queue.Selector
	holdsChanged bool
	// cancels are all under way, if cancelsChanged.
	cancels        []*cancel
	cancelsChanged bool
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
	s.usage, s.holds, s.releases, s.holdsChanged = nil, nil, nil, false
	s.cancels, s.cancelsChanged = nil, false
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
	return len(s.entries) == 0 && len(s.messages) == 0 && len(s.segments) == 0 && len(s.usage) == 0 &&
		!s.holdsChanged && !s.cancelsChanged
}

func (s *snapshot) sort() {
	slices.SortFunc(s.entries, func(a, b frozenEntry) int {
		return cmp.Or(cmp.Compare(a.queue.id, b.queue.id), a.key.compare(b.key))
	})
	slices.SortFunc(s.messages, func(a, b frozenMessage) int {
		return bytes.Compare(a.message.shared.ID[:], b.message.shared.ID[:])
	})
}

// snapshotWriter writes one snapshot, part by part.
type snapshotWriter struct {
	*snapshot
	tx *bolt.Tx
	// pages bounds what a part changes, about; least is the place that the first
	// part has to reach.
	pages int
	least place
	// next is the first entry that was not written; begun where the part
	// began. finished: there is no further part.
	next, begun int
	finished    bool
	// key is a buffer: bbolt copies keys.
	key []byte
	// growth is how each queue changed.
	growth map[uint64]*growth
}

// growth is how the rows of a queue changed in a part.
type growth struct {
	// changes were made; count is by how much all rows grew, prompt by how much
	// the prompt ones.
	changes, count, prompt int
	// first is the first prompt row that came, if any did.
	first recipientKey
	came  bool
}

func (g *growth) remove(m mark) {
	g.count--
	if m.prompt() {
		g.prompt--
	}
}

func (g *growth) add(m mark) {
	g.count++
	if !m.prompt() {
		return
	}
	g.prompt++
	if !g.came || m.recipientKey.compare(g.first) < 0 {
		g.first, g.came = m.recipientKey, true
	}
}

// part writes as much as fits, and what ends a part: how far it came or, in the
// last one, all else.
func (w *snapshotWriter) part(tx *bolt.Tx) error {
	w.tx, w.begun, w.growth = tx, w.next, map[uint64]*growth{}
	w.added, w.removed = w.added[:0], w.removed[:0]
	if err := w.recipients(); err != nil {
		return fmt.Errorf("write recipients: %w", err)
	}
	if err := w.dueIndex(); err != nil {
		return fmt.Errorf("write due index: %w", err)
	}
	if err := w.queues(); err != nil {
		return fmt.Errorf("write queues: %w", err)
	}
	w.finished = w.next == len(w.entries) && !w.full()
	if w.finished {
		return w.rest()
	}
	meta := tx.Bucket([]byte(bucketMeta))
	if err := putNumber(meta, metaQueues, w.nextQueue); err != nil {
		return err
	}
	return meta.Put([]byte(metaUnfinished), unfinished{w.position, w.reached()}.append(nil))
}

// full reports whether the part has something in it, and enough.
func (w *snapshotWriter) full() bool {
	if w.next == w.begun || w.reached().compare(w.least) < 0 {
		return false
	}
	stats := w.tx.Stats()
	return int(stats.GetNodeCount())+len(w.added)+len(w.removed) >= w.pages
}

// reached is the place up to which all is written.
func (w *snapshotWriter) reached() place {
	reached := place{}
	if w.next > 0 {
		f := &w.entries[w.next-1]
		reached = place{f.queue.id, f.key}
	}
	if w.next == len(w.entries) && reached.compare(w.least) < 0 {
		return w.least
	}
	return reached
}

// rest writes what the last part does.
func (w *snapshotWriter) rest() error {
	if err := w.writeMessages(); err != nil {
		return fmt.Errorf("write messages: %w", err)
	}
	if err := w.writeSegments(); err != nil {
		return fmt.Errorf("write segments: %w", err)
	}
	if err := writeUsage(w.tx, w.usage); err != nil {
		return fmt.Errorf("write usage: %w", err)
	}
	if w.holdsChanged {
		if err := writeHolds(w.tx, w.holds); err != nil {
			return fmt.Errorf("write holds: %w", err)
		}
		if err := writeReleases(w.tx, w.releases); err != nil {
			return fmt.Errorf("write releases: %w", err)
		}
	}
	if w.cancelsChanged {
		if err := writeCancels(w.tx, w.cancels); err != nil {
			return fmt.Errorf("write cancels: %w", err)
		}
	}
	return w.writeMeta()
}

func (w *snapshotWriter) writeMeta() error {
	meta := w.tx.Bucket([]byte(bucketMeta))
	clean := uint64(0)
	if w.clean {
		clean = 1
	}
	for name, value := range map[string]uint64{
		metaPosition: uint64(w.position), metaQueues: w.nextQueue, metaClean: clean,
	} {
		if err := putNumber(meta, name, value); err != nil {
			return err
		}
	}
	return meta.Delete([]byte(metaUnfinished))
}

// recipients trusts only the rows it finds: if an earlier commit took effect
// although it was reported as failed, nothing is counted twice.
func (w *snapshotWriter) recipients() error {
	b := w.tx.Bucket([]byte(bucketRecipients))
	for w.next < len(w.entries) && !w.full() {
		if err := w.recipient(b, &w.entries[w.next]); err != nil {
			return err
		}
		w.next++
	}
	return nil
}

func (w *snapshotWriter) recipient(b *bolt.Bucket, f *frozenEntry) error {
	id := f.queue.id
	g := w.growth[id]
	if g == nil {
		g = &growth{}
		w.growth[id] = g
	}
	g.changes++
	w.key = appendRecipientRowKey(w.key[:0], id, f.key)
	before, after := mark{-1, f.key}, mark{f.due, f.key}
	if v := b.Get(w.key); v != nil {
		d := decoder{b: v}
		before.due = d.number()
		g.remove(before)
	}
	if before.due >= 0 && !before.prompt() && (f.gone() || before != after) {
		w.removed = append(w.removed, dueRow{id, before})
	}
	if f.gone() {
		return b.Delete(w.key)
	}
	g.add(after)
	if !after.prompt() && before != after {
		w.added = append(w.added, dueRow{id, after})
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

// queues rewrites the row of each queue that has an entry in the part.
func (w *snapshotWriter) queues() error {
	for i := w.begun; i < w.next; i++ {
		q := w.entries[i].queue
		if i > w.begun && w.entries[i-1].queue.id == q.id {
			continue
		}
		if err := w.queue(q, w.growth[q.id]); err != nil {
			return err
		}
	}
	return nil
}

// queue rewrites the row of one queue, whose recipients were changed.
func (w *snapshotWriter) queue(q *queueState, g *growth) error {
	b := w.tx.Bucket([]byte(bucketQueues))
	key := queueRowKey(q.id)
	row := queueRow{key: q.key}
	if v := b.Get(key); v != nil {
		old, err := decodeQueueRow(v)
		if err != nil {
			return err
		}
		row.count, row.prompt, row.first = old.count, old.prompt, old.first
	}
	w.grow(&row, g)
	if row.count <= 0 {
		return b.Delete(key)
	}
	w.begins(key, &row, g.changes)
	return b.Put(key, row.append(nil))
}

func (w *snapshotWriter) grow(row *queueRow, g *growth) {
	if g.came && (row.prompt == 0 || g.first.compare(row.first) < 0) {
		row.first = g.first
	}
	row.count += g.count
	row.prompt = max(0, row.prompt+g.prompt)
}

// begins finds where the rows of a queue begin. The search for the first prompt
// one follows the changes at twice their pace, so that it never has far to go.
func (w *snapshotWriter) begins(prefix []byte, row *queueRow, changes int) {
	if row.count > row.prompt {
		if k, _ := w.tx.Bucket([]byte(bucketDue)).Cursor().Seek(prefix); bytes.HasPrefix(k, prefix) {
			if m, ok := parseDueKey(k); ok {
				row.due = m.due
			}
		}
	}
	if row.prompt == 0 {
		return
	}
	c := w.tx.Bucket([]byte(bucketRecipients)).Cursor()
	w.key = row.first.append(append(w.key[:0], prefix...))
	steps := 2*changes + 8
	for k, v := c.Seek(w.key); steps > 0 && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		row.first = decodePlace(k).key
		d := decoder{b: v}
		if (mark{d.number(), row.first}).prompt() {
			return
		}
		steps--
	}
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

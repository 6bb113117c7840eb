package journal

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

// committer is the state of the one goroutine that writes.
type committer struct {
	// file is the segment being written; nil before the first write and after
	// a fault.
	file File
	// direct is the same file, to be written past the page cache; nil where that
	// does not work or is not wanted.
	direct File
	// noDirect: the file system does not take such writes.
	noDirect bool
	// number of that segment, or of the last one tried.
	number uint32
	// name is the file's at the moment.
	name string
	// size is how many octets of it are synced, allocated how long the file was
	// when it was taken from the spares.
	size, allocated int64
	// previous names the last segment that holds records, for the next header.
	previous segmentHeader
	// written is what the last group took.
	written int64
	retryAt time.Time
}

// run takes whatever is waiting, again and again; there is no timer to wait
// for more.
func (j *Journal) run() {
	defer close(j.done)
	for range j.wake {
		for {
			j.gather()
			group, bytes, closed := j.take()
			if closed {
				j.answering.Wait()
				j.committer.close()
				return
			}
			if len(group) == 0 {
				break
			}
			j.commit(group, bytes)
		}
	}
}

// enoughBytes waiting are a group that takes a disk about as long to write as
// the sync would take for less.
const enoughBytes = 64 << 10

// enough reports whether a group waits that need not grow. Large and small
// records come in waves, where each writer makes both by turns: then a small
// wave may follow a large one.
func (j *Journal) enough() bool {
	waiting := j.pendingBytes.Load()
	return waiting >= enoughBytes || waiting >= enoughBytes/2 && waiting+j.committer.written >= 2*enoughBytes
}

// gather lets the writers that were just answered, and those about to be
// ready, join the group before it is taken: as long as each yield brings more
// of them. It costs microseconds where the processors are free, and saves half
// of the syncs. Where enough came during the last sync there is nothing to be
// saved: the disk works on, and those just answered make the next group
// meanwhile.
func (j *Journal) gather() {
	for before := -1; !j.enough(); {
		j.mu.Lock()
		waiting := len(j.pending)
		j.mu.Unlock()
		if waiting <= before {
			return
		}
		before = waiting
		runtime.Gosched()
	}
}

func (c *committer) close() {
	if c.file != nil {
		c.finish()
	}
}

// commit writes a group and answers its writers: beside the next group's
// writing where that waits already, else at once, since they may be of it.
func (j *Journal) commit(group []*Write, bytes int64) {
	err := j.write(group, bytes)
	j.answering.Wait()
	if j.enough() {
		j.answering.Go(func() { j.answer(group, err) })
	} else {
		j.answer(group, err)
	}
}

func (j *Journal) answer(group []*Write, err error) {
	if err == nil && j.options.Committed != nil {
		j.options.Committed(group)
	}
	for _, w := range group {
		w.done <- err
	}
}

// write makes a group durable that takes so many octets, and what follows it to
// the end of its block.
func (j *Journal) write(group []*Write, bytes int64) error {
	c := &j.committer
	if err := j.prepare(bytes); err != nil {
		return err
	}
	need := int(bytes) + 2*blockSize // its last block, and a mark
	room := j.recent.reserve(need)
	kept := room != nil
	if !kept {
		room = make([]byte, 0, need) // too large
	}
	start := c.size
	b, end := c.encode(room, group, j.salt)
	if err := c.writeAt(b, start, kept); err != nil {
		return j.fail(err)
	}
	if err := c.file.Sync(); err != nil {
		return j.fail(err)
	}
	if kept {
		j.recent.keep(MakePosition(c.number, uint32(start)), int(end-start))
	}
	c.written = end - start
	c.size = end
	c.previous = segmentHeader{previous: c.number, previousEnd: uint32(c.size)}
	j.segments.grow(c.number, c.size)
	j.end.Store(uint64(MakePosition(c.number, uint32(c.size))))
	j.syncs.Add(1)
	j.records.Add(int64(len(group)))
	j.fault.Store(nil)
	return nil
}

// encode lays the group out in b as it will stand behind the segment's end, and
// returns the end to come.
func (c *committer) encode(b []byte, group []*Write, salt uint32) ([]byte, int64) {
	start := c.size
	for i, w := range group {
		offset := start + int64(len(b))
		w.Position = MakePosition(c.number, uint32(offset))
		h := recordHeader{length: uint32(w.length()), group: uint32(start), sum: w.sum, kind: w.Kind}
		if i == len(group)-1 {
			h.fill(offset)
		}
		b = h.append(b, w.Position, salt)
		b = append(b, w.Head...)
		b = append(b, w.Body...)
		b = append(b, make([]byte, h.size()-recordHeaderSize-int64(w.length()))...)
		w.End = MakePosition(c.number, uint32(offset+h.size()))
	}
	end := start + int64(len(b))
	return c.mark(b, end), end
}

// mark puts the end mark behind what ends there, where older octets follow: a
// whole block, which need not be read first.
func (c *committer) mark(b []byte, end int64) []byte {
	return append(b, make([]byte, max(0, min(blockSize, c.allocated-end)))...)
}

// finish closes the segment; all that counts was synced. What is left of an
// older one behind it goes; should a crash keep it, the end is known.
func (c *committer) finish() {
	if c.allocated > c.size {
		_ = c.file.Truncate(c.size)
	}
	_ = c.closeDirect()
	c.file.Close()
	c.file = nil
}

// prepare sees to a segment with room for need octets.
func (j *Journal) prepare(need int64) error {
	c := &j.committer
	if c.file != nil && (c.size == segmentHeaderSize || c.size+need <= j.options.SegmentBytes) {
		return nil
	}
	if fault := j.Fault(); fault != nil && time.Now().Before(c.retryAt) {
		return fault
	}
	if c.file != nil {
		c.finish()
	}
	return j.create()
}

// create starts the next segment: the file, its header and its directory entry
// are durable before a record goes into it. A spare has its new header before
// it has its new name.
func (j *Journal) create() error {
	c := &j.committer
	c.number++
	spare := j.spares.take(c.number)
	flag, name := os.O_RDWR|os.O_CREATE|os.O_EXCL, j.path(c.number)
	if spare.bytes > 0 {
		flag, name = os.O_RDWR, j.sparePath(spare.number)
	}
	file, err := j.options.Files.OpenFile(name, flag, 0o600)
	if err != nil {
		return j.fail(err)
	}
	c.file, c.name, c.size, c.allocated = file, name, segmentHeaderSize, spare.bytes
	if spare.bytes > 0 {
		j.openDirect(name)
	}
	header := c.previous
	header.number, header.salt, header.older = c.number, j.salt, uint32(spare.bytes)
	if _, err := file.WriteAt(c.mark(header.encode(), segmentHeaderSize), 0); err != nil {
		return j.fail(err)
	}
	if err := file.Sync(); err != nil {
		return j.fail(err)
	}
	if err := j.give(j.path(c.number)); err != nil {
		return j.fail(err)
	}
	j.segments.add(c.number, segmentHeaderSize)
	return nil
}

// give sees to the segment's name, durably.
func (j *Journal) give(name string) error {
	c := &j.committer
	if c.name != name {
		if err := j.options.Files.Rename(c.name, name); err != nil {
			return err
		}
		c.name = name
	}
	return j.options.Files.SyncDir(j.options.Dir)
}

// fail gives the segment up. After a failed write or sync nobody knows what
// the disk holds behind the last good sync, so those bytes are cut off as far
// as that is possible, and the next segment's header rules them out for good.
func (j *Journal) fail(cause error) error {
	c := &j.committer
	fault := fmt.Errorf("%w: %w", ErrFault, cause)
	j.fault.Store(&fault)
	c.retryAt = time.Now().Add(j.options.RetryPause)
	if c.file == nil {
		return fault
	}
	errs := []error{c.closeDirect(), c.file.Truncate(c.size), c.file.Close()}
	if c.size == segmentHeaderSize {
		errs = append(errs, j.options.Files.Remove(c.name))
		j.segments.remove(c.number)
	}
	c.file = nil
	if err := errors.Join(errs...); err != nil {
		j.options.Logger.Warn("journal: failed segment could not be cleaned up", "segment", c.number, "error", err)
	}
	return fault
}

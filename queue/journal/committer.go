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
	// number of that segment, or of the last one tried.
	number uint32
	// size is how many octets of it are synced.
	size int64
	// previous names the last segment that holds records, for the next header.
	previous segmentHeader
	buffer   []byte
	retryAt  time.Time
}

// run takes whatever is waiting, again and again; there is no timer to wait
// for more.
func (j *Journal) run() {
	defer close(j.done)
	for range j.wake {
		for {
			j.gather()
			group, closed := j.take()
			if closed {
				j.committer.close()
				return
			}
			if len(group) == 0 {
				break
			}
			j.commit(group)
		}
	}
}

// gather lets the writers that were just answered, and those about to be
// ready, join the group before it is taken: as long as each yield brings more
// of them. It costs microseconds where the processors are free, and saves half
// of the syncs.
func (j *Journal) gather() {
	for before := -1; ; {
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
		c.file.Close() // all that counts was synced
	}
}

func (j *Journal) commit(group []*Write) {
	err := j.write(group)
	if err == nil && j.options.Committed != nil {
		j.options.Committed(group)
	}
	for _, w := range group {
		w.done <- err
	}
}

func (j *Journal) write(group []*Write) error {
	c := &j.committer
	if err := j.prepare(groupSize(group)); err != nil {
		return err
	}
	c.encode(group)
	if _, err := c.file.WriteAt(c.buffer, c.size); err != nil {
		return j.fail(err)
	}
	if err := c.file.Sync(); err != nil {
		return j.fail(err)
	}
	c.size += int64(len(c.buffer))
	c.previous = segmentHeader{previous: c.number, previousEnd: uint32(c.size)}
	j.segments.grow(c.number, c.size)
	j.end.Store(uint64(MakePosition(c.number, uint32(c.size))))
	j.syncs.Add(1)
	j.records.Add(int64(len(group)))
	j.fault.Store(nil)
	if cap(c.buffer) > maxGroup {
		c.buffer = nil
	}
	return nil
}

func groupSize(group []*Write) int64 {
	size := int64(0)
	for _, w := range group {
		size += recordSize(w.length())
	}
	return size
}

// encode lays the group out as it will stand behind the segment's end.
func (c *committer) encode(group []*Write) {
	b := c.buffer[:0]
	start := c.size
	for _, w := range group {
		offset := start + int64(len(b))
		w.Position = MakePosition(c.number, uint32(offset))
		h := recordHeader{length: uint32(w.length()), group: uint32(start), sum: w.sum, kind: w.Kind}
		b = h.append(b, w.Position)
		b = append(b, w.Head...)
		b = append(b, w.Body...)
		for len(b)%alignment != 0 {
			b = append(b, 0)
		}
		w.End = MakePosition(c.number, uint32(start+int64(len(b))))
	}
	c.buffer = b
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
		c.file.Close() // synced by the last write
		c.file = nil
	}
	return j.create()
}

// create starts the next segment: the file, its header and its directory entry
// are durable before a record goes into it.
func (j *Journal) create() error {
	c := &j.committer
	c.number++
	file, err := j.options.Files.OpenFile(j.path(c.number), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return j.fail(err)
	}
	c.file, c.size = file, segmentHeaderSize
	header := c.previous
	header.number = c.number
	if _, err := file.WriteAt(header.encode(), 0); err != nil {
		return j.fail(err)
	}
	if err := file.Sync(); err != nil {
		return j.fail(err)
	}
	if err := j.options.Files.SyncDir(j.options.Dir); err != nil {
		return j.fail(err)
	}
	j.segments.add(c.number, segmentHeaderSize)
	return nil
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
	errs := []error{c.file.Truncate(c.size), c.file.Close()}
	if c.size == segmentHeaderSize {
		errs = append(errs, j.options.Files.Remove(j.path(c.number)))
		j.segments.remove(c.number)
	}
	c.file = nil
	if err := errors.Join(errs...); err != nil {
		j.options.Logger.Warn("journal: failed segment could not be cleaned up", "segment", c.number, "error", err)
	}
	return fault
}

package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Scan calls each for every durable record from a position on up to what is
// the end when it starts. Unlike Replay it may run beside appends. What cannot
// be parsed is set aside and passed over.
func (j *Journal) Scan(from Position, each func(Record) error) error {
	end := j.End()
	for _, segment := range j.segments.from(from.Segment()) {
		if segment.Number > end.Segment() {
			return nil
		}
		limit := segment.Bytes
		if segment.Number == end.Segment() {
			limit = min(limit, int64(end.Offset()))
		}
		if err := j.scanSegment(segment.Number, from, limit, each); err != nil {
			return err
		}
	}
	return nil
}

func (j *Journal) scanSegment(number uint32, from Position, limit int64, each func(Record) error) error {
	h, err := j.handles.acquire(number)
	if errors.Is(err, os.ErrNotExist) {
		return nil // removed since it was listed
	}
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	defer j.handles.release(h)
	s := scanner{file: h.file, salt: j.salt, segment: number, offset: segmentHeaderSize, limit: limit}
	s.bad = func(bad stretch) error {
		if !bad.marked || bad.to < limit { // else: left of an older segment
			j.damage(number, bad)
		}
		return nil
	}
	if from.Segment() == number {
		s.offset = max(s.offset, int64(from.Offset()))
	}
	for {
		record, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := each(record); err != nil {
			return err
		}
	}
}

// ReadAt returns the record at a position, its checksum verified; the payload
// is the caller's. A record that is not what was written gives ErrDamaged and
// its bytes are set aside; a segment that is gone gives fs.ErrNotExist.
func (j *Journal) ReadAt(at Position) (Record, error) {
	if record, ok := j.recent.record(at, j.salt); ok {
		return record, nil
	}
	h, err := j.handles.acquire(at.Segment())
	if err != nil {
		return Record{}, fmt.Errorf("open segment: %w", err)
	}
	defer j.handles.release(h)
	b := make([]byte, recordHeaderSize)
	if _, err := h.file.ReadAt(b, int64(at.Offset())); err != nil {
		return Record{}, j.unreadableAt(at, recordHeaderSize, err)
	}
	header, ok := decodeRecordHeader(b, at, j.salt)
	if !ok {
		return Record{}, j.unreadableAt(at, recordHeaderSize, errors.New("header does not match its checksum"))
	}
	payload := make([]byte, header.length)
	if _, err := h.file.ReadAt(payload, int64(at.Offset())+recordHeaderSize); err != nil {
		return Record{}, j.unreadableAt(at, header.size(), err)
	}
	record, ok := header.record(at, payload)
	if !ok {
		return Record{}, j.unreadableAt(at, header.size(), errors.New("payload does not match its checksum"))
	}
	return record, nil
}

func (j *Journal) unreadableAt(at Position, size int64, cause error) error {
	from := int64(at.Offset())
	j.damage(at.Segment(), stretch{from: from, to: from + size})
	return fmt.Errorf("%w: %s: %w", ErrDamaged, at, cause)
}

// Size returns the octets that a record with such a payload takes on disk.
func Size(payload int) int64 { return recordSize(payload) }

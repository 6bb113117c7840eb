package journal

import (
	"errors"
	"io"
)

const (
	// window is how much of a segment is read at once.
	window = 1 << 20
	// block is the unit in which a window with a read error is read again.
	block = 4096
)

// Record is one record as it was written.
type Record struct {
	// Position is where it lies, End where the next one begins.
	Position, End Position
	Kind          byte
	// Payload is only valid until the next record is read.
	Payload []byte
}

// stretch is a run of octets of a segment that is no record.
type stretch struct {
	from, to int64
	// unsynced: the octets belong to the last group before to, whose sync may
	// never have been answered.
	unsynced bool
	// marked: they begin with an end mark. zeros: they are nothing else.
	marked, zeros bool
}

// scanner reads the records of one segment, octets [offset, limit).
type scanner struct {
	file    io.ReaderAt
	salt    uint32
	segment uint32
	offset  int64
	limit   int64
	// bad is called for each stretch that cannot be parsed.
	bad func(stretch) error

	// group is that of the last record: all before it was synced.
	group int64

	buffer []byte
	base   int64
}

// next returns the next record, or io.EOF behind the last one.
func (s *scanner) next() (Record, error) {
	badFrom := int64(-1)
	for s.offset+recordHeaderSize <= s.limit {
		at := s.offset
		position := MakePosition(s.segment, uint32(at))
		header, ok := decodeRecordHeader(s.bytes(at, recordHeaderSize), position, s.salt)
		if ok && at+recordSize(int(header.length)) <= s.limit {
			if record, whole := header.record(position, s.bytes(at+recordHeaderSize, int64(header.length))); whole {
				s.offset, s.group = min(at+header.size(), s.limit), int64(header.group)
				record.End = MakePosition(s.segment, uint32(s.offset)) // its padding may be cut
				return record, s.report(badFrom, at, int64(header.group) <= badFrom)
			}
		}
		s.offset += s.skip(header, ok, badFrom >= 0)
		if badFrom < 0 {
			badFrom = at
		}
	}
	if badFrom < 0 && s.offset < s.limit {
		badFrom = s.offset
	}
	s.offset = s.limit
	if err := s.report(badFrom, s.limit, true); err != nil {
		return Record{}, err
	}
	return Record{}, io.EOF
}

// skip returns how far to go on from something that is no record. A header
// that is whole is believed while the scanner is in step.
func (s *scanner) skip(header recordHeader, whole, searching bool) int64 {
	if whole && !searching && s.offset+header.size() <= s.limit {
		return header.size()
	}
	return alignment
}

func (s *scanner) report(from, to int64, unsynced bool) error {
	if from < 0 {
		return nil
	}
	return s.bad(stretch{from: from, to: to, unsynced: unsynced, marked: s.zeros(from, min(to, from+endMark)), zeros: s.zeros(from, to)})
}

func (s *scanner) zeros(from, to int64) bool {
	for from < to {
		n := min(to-from, window)
		for _, c := range s.bytes(from, n) {
			if c != 0 {
				return false
			}
		}
		from += n
	}
	return true
}

// bytes returns n octets from offset on, all of them below the limit.
func (s *scanner) bytes(offset, n int64) []byte {
	if offset < s.base || offset+n > s.base+int64(len(s.buffer)) {
		s.fill(offset, max(n, min(window, s.limit-offset)))
	}
	return s.buffer[offset-s.base:][:n]
}

func (s *scanner) fill(offset, n int64) {
	if int64(cap(s.buffer)) < n {
		s.buffer = make([]byte, n)
	}
	s.buffer, s.base = s.buffer[:n], offset
	got, err := s.file.ReadAt(s.buffer, offset)
	if got == len(s.buffer) {
		return
	}
	if errors.Is(err, io.EOF) {
		unreadable(s.buffer[got:])
		return
	}
	for rest := s.buffer; len(rest) > 0; {
		part := rest[:min(block-offset%block, int64(len(rest)))]
		if got, _ := s.file.ReadAt(part, offset); got < len(part) {
			unreadable(part[got:])
		}
		offset += int64(len(part))
		rest = rest[len(part):]
	}
}

// unreadable marks octets that the disk does not give: they are no record and
// not the zeros of space never written.
func unreadable(b []byte) {
	for i := range b {
		b[i] = 0xff
	}
}

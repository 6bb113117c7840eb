package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
)

// Report says what a replay met.
type Report struct {
	// Records given to the caller.
	Records int64
	// Torn counts octets cut from the end of the last segment: writes that
	// nobody was told had succeeded.
	Torn int64
	// Damaged counts stretches that were synced once and cannot be parsed.
	Damaged int64
	// Missing names segments that others refer to and that are gone.
	Missing []uint32
}

// Replay calls each for every record from a position on, in order, sets damage
// aside and cuts a torn tail. It is called once, before the first Append. An
// error of each ends it.
func (j *Journal) Replay(from Position, each func(Record) error) (Report, error) {
	var report Report
	first := min(from, cmp.Or(j.options.Scanned, from))
	segments := j.segments.from(first.Segment())
	seen, err := j.readHeaders(first, segments, &report)
	if err != nil {
		return report, err
	}
	for i, segment := range segments {
		end, known := seen.ends[segment.Number]
		if !known {
			end = segment.Bytes
		}
		if segment.Number == from.Segment() {
			end = max(end, int64(from.Offset()))
		}
		switch {
		case end > segment.Bytes:
			j.truncated(segment, end, &report)
		case known:
			j.segments.grow(segment.Number, end) // behind it is nothing of this segment
		}
		if segment.Number < from.Segment() {
			continue
		}
		p := pass{
			journal: j, segment: segment.Number, limit: min(end, segment.Bytes),
			last: i == len(segments)-1, exact: known, older: seen.older[segment.Number], report: &report, each: each,
		}
		if err := p.run(from); err != nil {
			return report, err
		}
	}
	return report, nil
}

// truncated reports a segment that is shorter than its successor says.
func (j *Journal) truncated(segment Segment, end int64, report *Report) {
	report.Damaged++
	j.damaged.Add(1)
	j.options.Logger.Error("journal: segment is shorter than it was", "file", j.path(segment.Number), "octets", segment.Bytes, "expected", end)
}

// headers is what the segments say of each other.
type headers struct {
	// ends is where a segment ends as the next one has it.
	ends map[uint32]int64
	// older segments lie in files that had been longer.
	older map[uint32]bool
}

// readHeaders returns what the headers tell, and reports what they refer to and
// is not there.
func (j *Journal) readHeaders(first Position, segments []Segment, report *Report) (headers, error) {
	seen := headers{ends: map[uint32]int64{}, older: map[uint32]bool{}}
	present := map[uint32]bool{}
	for _, segment := range segments {
		present[segment.Number] = true
	}
	if first != 0 && !present[first.Segment()] {
		report.Missing = append(report.Missing, first.Segment())
	}
	for i, segment := range segments {
		header, ok, err := j.readHeader(segment.Number)
		if err != nil {
			return seen, err
		}
		if !ok {
			continue
		}
		seen.older[segment.Number] = header.older > 0
		if i > 0 {
			before := segments[i-1].Number
			switch {
			case before == header.previous:
				seen.ends[before] = int64(header.previousEnd)
			case before > header.previous:
				seen.ends[before] = segmentHeaderSize // nothing in it was ever synced
			}
		}
		if p := header.previous; p > first.Segment() && !present[p] {
			report.Missing = append(report.Missing, p)
		}
	}
	for _, number := range report.Missing {
		j.options.Logger.Error("journal: segment is missing", "file", j.path(number))
	}
	return seen, nil
}

func (j *Journal) readHeader(number uint32) (segmentHeader, bool, error) {
	h, err := j.handles.acquire(number)
	if err != nil {
		return segmentHeader{}, false, fmt.Errorf("open segment: %w", err)
	}
	defer j.handles.release(h)
	b := make([]byte, segmentHeaderSize)
	if _, err := h.file.ReadAt(b, 0); err != nil {
		return segmentHeader{}, false, nil // a header that cannot be read is a damaged one
	}
	header, ok := decodeSegmentHeader(b)
	return header, ok && header.number == number, nil
}

// pass is the replay of one segment.
type pass struct {
	journal *Journal
	segment uint32
	limit   int64
	// last: no segment follows. exact: the next one says where this one ends.
	// older: octets of an older segment may follow the last record.
	last, exact, older bool
	report             *Report
	each               func(Record) error
	// doubtful stretches are of the last group so far.
	doubtful []stretch
}

func (p *pass) run(from Position) error {
	h, err := p.journal.handles.acquire(p.segment)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	defer p.journal.handles.release(h)
	s := scanner{file: h.file, salt: p.journal.salt, segment: p.segment, offset: segmentHeaderSize, limit: p.limit, bad: p.bad}
	if from.Segment() == p.segment {
		s.offset = max(s.offset, int64(from.Offset()))
	}
	for {
		record, err := s.next()
		if errors.Is(err, io.EOF) {
			p.torn()
			return nil
		}
		if err != nil {
			return err
		}
		p.synced(s.group)
		p.report.Records++
		if err := p.each(record); err != nil {
			return err
		}
	}
}

// bad judges what cannot be parsed: space never written or left of an older
// segment, a tail torn in its write, or damage.
func (p *pass) bad(s stretch) error {
	atEnd := s.to == p.limit
	switch {
	case (s.zeros || s.marked && p.older) && atEnd && !p.exact:
		return p.cut(s.from)
	case s.unsynced && p.last:
		p.doubtful = append(p.doubtful, s)
		if atEnd {
			p.torn()
			return p.cut(s.from)
		}
		return nil
	}
	p.damaged(s)
	return nil
}

func (p *pass) damaged(s stretch) {
	p.report.Damaged++
	p.journal.damage(p.segment, s)
}

// synced settles the doubt over what lies before the beginning of a group.
func (p *pass) synced(group int64) {
	for len(p.doubtful) > 0 && p.doubtful[0].from < group {
		p.damaged(p.doubtful[0])
		p.doubtful = p.doubtful[1:]
	}
}

// torn settles it for the last group: its sync may never have been answered.
// What is left of an older segment may follow it, so that no more than a group
// is taken.
func (p *pass) torn() {
	for _, s := range p.doubtful {
		s.to = min(s.to, s.from+maxGroup)
		p.report.Torn += s.to - s.from
		p.journal.options.Logger.Warn("journal: write was torn by a crash", "segment", p.segment, "octets", s.to-s.from)
		p.journal.setAside(p.segment, s)
	}
	p.doubtful = nil
}

// cut ends the last segment behind its last record.
func (p *pass) cut(size int64) error {
	if !p.last {
		return nil
	}
	j := p.journal
	file, err := j.options.Files.OpenFile(j.path(p.segment), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("cut torn segment: %w", err)
	}
	err = errors.Join(file.Truncate(size), file.Sync(), file.Close())
	if err != nil {
		return fmt.Errorf("cut torn segment: %w", err)
	}
	j.segments.grow(p.segment, size)
	j.end.Store(uint64(max(MakePosition(p.segment, uint32(size)), j.options.After)))
	j.committer.previous.previousEnd = uint32(size)
	return nil
}

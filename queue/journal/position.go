package journal

import "fmt"

// Position is the place of a record: the segment's number in the upper half,
// the offset in the lower one. Positions grow from record to record, over
// restarts too. Zero is before every record.
type Position uint64

// MakePosition joins a segment and an offset.
func MakePosition(segment, offset uint32) Position {
	return Position(segment)<<32 | Position(offset)
}

// Segment returns the number of the segment.
func (p Position) Segment() uint32 { return uint32(p >> 32) }

// Offset returns the place inside the segment, in octets.
func (p Position) Offset() uint32 { return uint32(p) }

// String returns segment:offset.
func (p Position) String() string { return fmt.Sprintf("%08d:%d", p.Segment(), p.Offset()) }

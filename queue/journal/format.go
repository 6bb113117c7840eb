package journal

import (
	"encoding/binary"
	"hash/crc32"
)

const (
	// MaxRecord bounds a payload, in octets.
	MaxRecord = 1 << 31

	segmentMagic      = "PRJOURN1"
	segmentHeaderSize = 32
	recordHeaderSize  = 20
	// alignment makes the search for the next record after damage cheap.
	alignment = 4
)

// segmentHeader opens a segment.
type segmentHeader struct {
	number uint32
	// previous is the segment written before this one and previousEnd how many
	// of its octets were synced when this one was created. Zero: there was none.
	previous    uint32
	previousEnd uint32
}

func (h segmentHeader) encode() []byte {
	b := make([]byte, 0, segmentHeaderSize)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, h.number)
	b = binary.LittleEndian.AppendUint32(b, h.previous)
	b = binary.LittleEndian.AppendUint32(b, h.previousEnd)
	b = append(b, make([]byte, segmentHeaderSize-4-len(b))...)
	return binary.LittleEndian.AppendUint32(b, checksum(0, b))
}

func decodeSegmentHeader(b []byte) (segmentHeader, bool) {
	if len(b) < segmentHeaderSize || string(b[:8]) != segmentMagic {
		return segmentHeader{}, false
	}
	if binary.LittleEndian.Uint32(b[28:]) != checksum(0, b[:28]) {
		return segmentHeader{}, false
	}
	return segmentHeader{
		number:      binary.LittleEndian.Uint32(b[8:]),
		previous:    binary.LittleEndian.Uint32(b[12:]),
		previousEnd: binary.LittleEndian.Uint32(b[16:]),
	}, true
}

// recordHeader stands before each payload.
type recordHeader struct {
	length uint32
	// group is the offset at which the write began that carried this record:
	// everything before it was synced by then.
	group uint32
	// sum is the checksum of the payload alone, so that writers can compute it
	// before they know their position.
	sum  uint32
	kind byte
}

// size returns what the record takes in the segment, padding included.
func (h recordHeader) size() int64 { return recordSize(int(h.length)) }

func recordSize(payload int) int64 {
	return (recordHeaderSize + int64(payload) + alignment - 1) / alignment * alignment
}

// append encodes the header. Its checksum begins with the position, so that
// stale or copied bytes are no record anywhere else.
func (h recordHeader) append(b []byte, at Position) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, h.length)
	b = binary.LittleEndian.AppendUint32(b, h.group)
	b = binary.LittleEndian.AppendUint32(b, h.sum)
	b = append(b, h.kind, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[start:], headerSum(b[start+4:], at))
	return b
}

func decodeRecordHeader(b []byte, at Position) (recordHeader, bool) {
	if len(b) < recordHeaderSize {
		return recordHeader{}, false
	}
	b = b[:recordHeaderSize]
	if binary.LittleEndian.Uint32(b) != headerSum(b[4:], at) {
		return recordHeader{}, false
	}
	h := recordHeader{
		length: binary.LittleEndian.Uint32(b[4:]),
		group:  binary.LittleEndian.Uint32(b[8:]),
		sum:    binary.LittleEndian.Uint32(b[12:]),
		kind:   b[16],
	}
	return h, h.length <= MaxRecord
}

func headerSum(b []byte, at Position) uint32 {
	var place [8]byte
	binary.LittleEndian.PutUint64(place[:], uint64(at))
	return checksum(checksum(0, place[:]), b)
}

// checksum continues a CRC-32C.
func checksum(sum uint32, b []byte) uint32 {
	return crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), b)
}

package journal

import (
	"encoding/binary"
	"hash/crc32"
)

const (
	// MaxRecord bounds a payload, in octets.
	MaxRecord = 1 << 31

	segmentMagic      = "PRJOURN2"
	segmentHeaderSize = 32
	recordHeaderSize  = 20
	// blockSize is what a disk writes at least.
	blockSize = 4096
	// endMark is how many zeros at least stand behind the last record of a
	// segment that is written again: nothing behind them is of this segment.
	endMark = recordHeaderSize
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
	// salt goes into the checksums of the records.
	salt uint32
	// older is how long the file was, of an older segment's octets, before
	// anything of this one was written; zero for a new file.
	older uint32
}

func (h segmentHeader) encode() []byte {
	b := make([]byte, 0, segmentHeaderSize)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, h.number)
	b = binary.LittleEndian.AppendUint32(b, h.previous)
	b = binary.LittleEndian.AppendUint32(b, h.previousEnd)
	b = binary.LittleEndian.AppendUint32(b, h.salt)
	b = binary.LittleEndian.AppendUint32(b, h.older)
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
		salt:        binary.LittleEndian.Uint32(b[20:]),
		older:       binary.LittleEndian.Uint32(b[24:]),
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
	// padding is how many octets behind the record, and its alignment, belong to
	// it.
	padding uint16
}

// size returns what the record takes in the segment, padding included.
func (h recordHeader) size() int64 { return recordSize(int(h.length)) + int64(h.padding) }

// fill lets a record at an offset end with its block, as the last of a group
// does: then no block is written twice.
func (h *recordHeader) fill(offset int64) {
	h.padding = uint16(-(offset + h.size()) & (blockSize - 1))
}

func recordSize(payload int) int64 {
	return (recordHeaderSize + int64(payload) + alignment - 1) / alignment * alignment
}

// append encodes the header. Its checksum begins with the salt, which those who
// hand in payloads do not know, and the position: bytes that were copied, that
// are left of another segment or that somebody made up are no record.
func (h recordHeader) append(b []byte, at Position, salt uint32) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, h.length)
	b = binary.LittleEndian.AppendUint32(b, h.group)
	b = binary.LittleEndian.AppendUint32(b, h.sum)
	b = append(b, h.kind, 0)
	b = binary.LittleEndian.AppendUint16(b, h.padding)
	end := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(at)) // an array of its own would be allocated
	binary.LittleEndian.PutUint32(b[start:], headerSum(b[start+4:end], b[end:], salt))
	return b[:end]
}

func decodeRecordHeader(b []byte, at Position, salt uint32) (recordHeader, bool) {
	if len(b) < recordHeaderSize {
		return recordHeader{}, false
	}
	b = b[:recordHeaderSize]
	// A search meets millions of places that are none: most end here.
	if b[17] != 0 || b[19] >= blockSize>>8 || binary.LittleEndian.Uint32(b[8:]) > at.Offset() {
		return recordHeader{}, false
	}
	place := binary.LittleEndian.AppendUint64(nil, uint64(at))
	if binary.LittleEndian.Uint32(b) != headerSum(b[4:], place, salt) {
		return recordHeader{}, false
	}
	h := recordHeader{
		length:  binary.LittleEndian.Uint32(b[4:]),
		group:   binary.LittleEndian.Uint32(b[8:]),
		sum:     binary.LittleEndian.Uint32(b[12:]),
		kind:    b[16],
		padding: binary.LittleEndian.Uint16(b[18:]),
	}
	return h, h.length <= MaxRecord
}

// decodeRecord decodes the record that b begins with, and reports whether it is
// whole. Its payload is part of b.
func decodeRecord(b []byte, at Position, salt uint32) (Record, bool) {
	header, ok := decodeRecordHeader(b, at, salt)
	if !ok || int64(len(b)) < recordHeaderSize+int64(header.length) {
		return Record{}, false
	}
	return header.record(at, b[recordHeaderSize:][:header.length])
}

// record joins the header at a position with its payload, and reports whether
// they belong together.
func (h recordHeader) record(at Position, payload []byte) (Record, bool) {
	record := Record{Position: at, End: at + Position(h.size()), Kind: h.kind, Payload: payload}
	return record, checksum(0, payload) == h.sum
}

// headerSum is that of a header's fields; place is the encoded position.
func headerSum(fields, place []byte, salt uint32) uint32 {
	return checksum(checksum(salt, place), fields)
}

// checksum continues a CRC-32C.
func checksum(sum uint32, b []byte) uint32 {
	return crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), b)
}

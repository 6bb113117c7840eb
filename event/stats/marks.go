package stats

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sort"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// mark says that one recipient of one message did one kind of thing. Message
// ids begin with their time, so that marks sort by it and the old ones are
// together.
type mark [markOctets]byte

const (
	messageOctets = 12
	timeOctets    = 6
	kindOctets    = 2
	markOctets    = messageOctets + kindOctets + 4
)

// Kinds of marks. Those of links follow, by their places.
const (
	markOpened = iota
	markClicked
	markUnsubscribed
	markComplained
	markLink
)

func newMark(message [messageOctets]byte, kind uint16, index uint32) mark {
	var m mark
	copy(m[:], message[:])
	binary.BigEndian.PutUint16(m[messageOctets:], kind)
	binary.BigEndian.PutUint32(m[messageOctets+kindOctets:], index)
	return m
}

// message is the first part of a mark.
func (m *mark) message() []byte { return m[:messageOctets] }

func (m *mark) kind() uint64 { return uint64(binary.BigEndian.Uint16(m[messageOctets:])) }

func (m *mark) index() uint64 {
	return uint64(binary.BigEndian.Uint32(m[messageOctets+kindOctets:]))
}

// oldest returns the first mark there can be of a message accepted at a time.
func oldest(t time.Time) mark {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(0, t.UnixMilli())))
	var m mark
	copy(m[:timeOctets], ms[8-timeOctets:])
	return m
}

// messageTime is when a message was accepted.
func messageTime(id [messageOctets]byte) time.Time {
	var ms [8]byte
	copy(ms[8-timeOctets:], id[:timeOctets])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:])))
}

// parseMessage reads the text form of a message id: 20 digits of base32hex
// (RFC 4648 section 7) in lower case.
func parseMessage(text string) (id [messageOctets]byte, ok bool) {
	const digits, length = "0123456789abcdefghijklmnopqrstuv", 20
	if len(text) != length {
		return id, false
	}
	octets, bits, held := id[:0], uint(0), 0
	for i := range length {
		digit := strings.IndexByte(digits, text[i])
		if digit < 0 {
			return id, false
		}
		if bits, held = bits<<5|uint(digit), held+5; held >= 8 {
			held -= 8
			octets = append(octets, byte(bits>>held))
		}
	}
	return id, true
}

// A block is a row of marks in order, under the key of its first one. Of each
// mark stands how many octets of the message it shares with the one before it,
// the rest of the message, its kind and its index. sameKind says that message
// and kind are those before; then the index is the distance.
const (
	sameKind = messageOctets + 1
	// blockOctets bounds a block: several fit a page. No mark takes less than
	// two octets.
	blockOctets = 800
	blockMarks  = blockOctets / 2
)

func appendBlock(b []byte, marks []mark) []byte {
	var before mark
	for i := range marks {
		m := &marks[i]
		if i > 0 && bytes.Equal(m[:messageOctets+kindOctets], before[:messageOctets+kindOctets]) {
			b = append(b, sameKind)
			b = binary.AppendUvarint(b, m.index()-before.index())
		} else {
			shared := 0
			for i > 0 && shared < messageOctets && m[shared] == before[shared] {
				shared++
			}
			b = append(append(b, byte(shared)), m[shared:messageOctets]...)
			b = binary.AppendUvarint(b, m.kind())
			b = binary.AppendUvarint(b, m.index())
		}
		before = *m
	}
	return b
}

func readBlock(b []byte) ([]mark, error) {
	var marks []mark
	var m mark
	for f := (fields{b: b}); len(f.b) > 0; {
		shared := int(f.b[0])
		f.b = f.b[1:]
		kind, index := m.kind(), m.index()
		switch {
		case shared == sameKind:
			index += f.number()
		case shared <= messageOctets && len(f.b) >= messageOctets-shared:
			copy(m[shared:messageOctets], f.b)
			f.b = f.b[messageOctets-shared:]
			kind, index = f.number(), f.number()
		default:
			f.err = errRow
		}
		if f.err != nil {
			return nil, f.err
		}
		m = newMark([messageOctets]byte(m.message()), uint16(kind), uint32(index))
		marks = append(marks, m)
	}
	return marks, nil
}

func compareMarks(a, b mark) int { return bytes.Compare(a[:], b[:]) }

// blocks is the set of all marks.
type blocks struct{ bucket *bolt.Bucket }

// add puts marks, in order and each once, into the set, and reports of each
// whether it is new.
func (s blocks) add(marks []mark) ([]bool, error) {
	fresh := make([]bool, len(marks))
	for i := 0; i < len(marks); {
		key, held, next, err := s.around(marks[i])
		if err != nil {
			return nil, err
		}
		until := len(marks)
		if next != nil {
			until = i + sort.Search(len(marks)-i, func(n int) bool { return bytes.Compare(marks[i+n][:], next) >= 0 })
		}
		merged := merge(held, marks[i:until], fresh[i:until])
		if len(merged) > len(held) {
			if err := s.replace(key, merged); err != nil {
				return nil, err
			}
		}
		i = until
	}
	return fresh, nil
}

// around returns the block in which a mark would be, nil where there is none
// yet, and the key of the one behind it.
func (s blocks) around(m mark) (key []byte, marks []mark, next []byte, err error) {
	c := s.bucket.Cursor()
	k, v := c.Seek(m[:])
	if !bytes.Equal(k, m[:]) {
		next = slices.Clone(k)
		if k == nil {
			k, v = c.Last()
		} else {
			k, v = c.Prev()
		}
		if k == nil { // it comes before all: the first block takes it
			if next == nil {
				return nil, nil, nil, nil
			}
			k, v = c.First()
		}
	}
	key = slices.Clone(k)
	if marks, err = readBlock(v); err != nil {
		return nil, nil, nil, err
	}
	c.Seek(key)
	n, _ := c.Next()
	return key, marks, slices.Clone(n), nil
}

// merge returns the union of two ordered lists.
func merge(held, added []mark, fresh []bool) []mark {
	merged := make([]mark, 0, len(held)+len(added))
	for i, m := range added {
		for len(held) > 0 && compareMarks(held[0], m) < 0 {
			merged, held = append(merged, held[0]), held[1:]
		}
		if fresh[i] = len(held) == 0 || held[0] != m; fresh[i] {
			merged = append(merged, m)
		}
	}
	return append(merged, held...)
}

// replace writes marks in place of the block at key; nil for none.
func (s blocks) replace(key []byte, marks []mark) error {
	if key != nil && (len(marks) == 0 || !bytes.Equal(key, marks[0][:])) {
		if err := s.bucket.Delete(key); err != nil {
			return err
		}
	}
	for len(marks) > 0 {
		n, value := fit(marks)
		if err := s.bucket.Put(slices.Clone(marks[0][:]), value); err != nil {
			return err
		}
		marks = marks[n:]
	}
	return nil
}

// fit returns how many of the marks make a block, and it. What is too much is
// halved: half a block has room for what comes later.
func fit(marks []mark) (int, []byte) {
	for n := min(len(marks), blockMarks); ; n = (n + 1) / 2 {
		if value := appendBlock(nil, marks[:n]); len(value) <= blockOctets || n == 1 {
			return n, value
		}
	}
}

// expire removes the marks before one from up to limit blocks, and returns how
// many blocks it looked at.
func (s blocks) expire(before mark, limit int) (int, error) {
	var keys [][]byte
	c := s.bucket.Cursor()
	for k, _ := c.First(); k != nil && bytes.Compare(k, before[:]) < 0 && len(keys) < limit; k, _ = c.Next() {
		keys = append(keys, slices.Clone(k))
	}
	for _, key := range keys {
		marks, err := readBlock(s.bucket.Get(key))
		if err != nil {
			marks = nil // nothing else can be done with it
		}
		keep := slices.DeleteFunc(marks, func(m mark) bool { return compareMarks(m, before) < 0 })
		if err := s.replace(key, keep); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}

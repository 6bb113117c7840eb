package stats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// What is counted of mail.
const (
	accepted = iota
	sent
	delivered
	deferred
	bounced
	expired
	dropped
	mailCounts
)

// What is counted of readers: what masks are for.
const (
	opensRaw = iota
	opensHuman
	opensUnique
	clicksRaw
	clicksHuman
	clicksUnique
	unsubscribed
	complained
	readerCounts
)

// counters are one row's. They only add up, so that a total is the sum of its
// days.
type counters struct {
	mail    [mailCounts]int64
	readers [readerCounts]int64
	// bounces by category.
	bounces map[string]int64
}

func (c *counters) bounce(category string) {
	if category == "" {
		category = "unknown"
	}
	if c.bounces == nil {
		c.bounces = map[string]int64{}
	}
	c.bounces[category]++
	c.mail[bounced]++
}

// add adds o as often as times says: -1 takes it away.
func (c *counters) add(o *counters, times int64) {
	for i, n := range o.mail {
		c.mail[i] += n * times
	}
	for i, n := range o.readers {
		c.readers[i] += n * times
	}
	for category, n := range o.bounces {
		if c.bounces == nil {
			c.bounces = map[string]int64{}
		}
		if c.bounces[category] += n * times; c.bounces[category] == 0 {
			delete(c.bounces, category)
		}
	}
}

// Stored counters are pairs of a tag and a value, those of zero left out. A
// category's name stands behind its tag.
const (
	mailTag     = 1
	readerTag   = 32
	categoryTag = 64
)

func (c *counters) append(b []byte) []byte {
	b = appendTagged(b, mailTag, c.mail[:])
	b = appendTagged(b, readerTag, c.readers[:])
	for _, category := range slices.Sorted(maps.Keys(c.bounces)) {
		b = appendText(binary.AppendUvarint(b, categoryTag), category)
		b = binary.AppendUvarint(b, uint64(c.bounces[category]))
	}
	return b
}

func appendTagged(b []byte, tag uint64, values []int64) []byte {
	for i, n := range values {
		if n != 0 {
			b = binary.AppendUvarint(b, tag+uint64(i))
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	return b
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// errRow: a row that is not as it was written.
var errRow = errors.New("row of statistics cannot be read")

// fields reads what the functions above wrote; the first failure stays.
type fields struct {
	b   []byte
	err error
}

func (f *fields) number() uint64 {
	n, length := binary.Uvarint(f.b)
	if length <= 0 {
		f.b, f.err = nil, errRow
		return 0
	}
	f.b = f.b[length:]
	return n
}

func (f *fields) text() string {
	n := f.number()
	if n > uint64(len(f.b)) {
		f.b, f.err = nil, errRow
		return ""
	}
	text := string(f.b[:n])
	f.b = f.b[n:]
	return text
}

func (f *fields) counters() counters {
	var c counters
	for len(f.b) > 0 {
		switch tag := f.number(); {
		case tag >= mailTag && tag < mailTag+mailCounts:
			c.mail[tag-mailTag] = int64(f.number())
		case tag >= readerTag && tag < readerTag+readerCounts:
			c.readers[tag-readerTag] = int64(f.number())
		case tag == categoryTag:
			if c.bounces == nil {
				c.bounces = map[string]int64{}
			}
			category := f.text()
			c.bounces[category] = int64(f.number())
		default:
			f.b, f.err = nil, fmt.Errorf("%w: tag %d", errRow, tag)
		}
	}
	return c
}

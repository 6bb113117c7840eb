package boltguard

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// Pages and their elements in bbolt's format.
const (
	branchPage = 0x01
	leafPage   = 0x02

	elementSize = 16
	// bucketFlag marks an element whose value is a bucket: where its root is,
	// and a number. A bucket without a root follows as a page in the value.
	bucketFlag       = 0x01
	bucketHeaderSize = 16

	// deepest is more than any tree has levels.
	deepest = 64
)

// scan reads every page in use as plain octets, so that nothing in them can
// hurt.
type scan struct {
	file io.ReaderAt
	meta meta
	seen map[uint64]bool
}

// scanFile returns what is wrong with the pages of a file, if anything is.
func scanFile(file io.ReaderAt) error {
	m, err := readMeta(file)
	if err != nil {
		return err
	}
	s := scan{file: file, meta: m, seen: map[uint64]bool{}}
	return s.tree(m.root, span{}, 0)
}

// span is where the keys of a page must lie: from low on, below high. Nil is no
// bound.
type span struct{ low, high []byte }

func (w span) holds(key []byte) bool {
	return (w.low == nil || bytes.Compare(key, w.low) >= 0) && (w.high == nil || bytes.Compare(key, w.high) < 0)
}

// page is the octets of one with those that it overflows to.
type page struct {
	id    uint64
	flags uint16
	count int
	bytes []byte
}

func (p *page) wrong(format string, arguments ...any) error {
	return fmt.Errorf("%w: page %d %s", ErrDamaged, p.id, fmt.Sprintf(format, arguments...))
}

func (s *scan) read(id uint64) (*page, error) {
	p := &page{id: id}
	if id < 2 || id >= s.meta.pages {
		return nil, p.wrong("does not exist")
	}
	header := make([]byte, pageHeaderSize)
	if _, err := s.file.ReadAt(header, int64(id)*s.meta.pageSize); err != nil {
		return nil, err
	}
	order := binary.NativeEndian
	overflow := uint64(order.Uint32(header[12:]))
	if order.Uint64(header) != id || overflow >= s.meta.pages-id {
		return nil, p.wrong("is not what was written there")
	}
	p.flags, p.count = order.Uint16(header[8:]), int(order.Uint16(header[10:]))
	for i := id; i <= id+overflow; i++ {
		if s.seen[i] {
			return nil, p.wrong("is in two places")
		}
		s.seen[i] = true
	}
	p.bytes = make([]byte, (int64(overflow)+1)*s.meta.pageSize)
	_, err := s.file.ReadAt(p.bytes, int64(id)*s.meta.pageSize)
	return p, err
}

// element is a key with a page below it, or a key and a value.
type element struct {
	key, value []byte
	flags      uint32
	below      uint64
}

func (p *page) element(i int) (e element, err error) {
	at := pageHeaderSize + i*elementSize
	if at+elementSize > len(p.bytes) {
		return e, p.wrong("has too many elements")
	}
	order := binary.NativeEndian
	b := p.bytes[at:]
	var place, keySize, valueSize uint64
	if p.flags == branchPage {
		place, keySize, e.below = uint64(order.Uint32(b)), uint64(order.Uint32(b[4:])), order.Uint64(b[8:])
	} else {
		e.flags, place = order.Uint32(b), uint64(order.Uint32(b[4:]))
		keySize, valueSize = uint64(order.Uint32(b[8:])), uint64(order.Uint32(b[12:]))
	}
	if place+keySize+valueSize > uint64(len(b)) {
		return e, p.wrong("has an element that leaves it")
	}
	e.key = b[place : place+keySize]
	e.value = b[place+keySize : place+keySize+valueSize]
	return e, nil
}

func (s *scan) tree(root uint64, within span, depth int) error {
	p, err := s.read(root)
	if err != nil {
		return err
	}
	if depth > deepest {
		return p.wrong("is too deep")
	}
	return s.elements(p, within, depth)
}

func (s *scan) elements(p *page, within span, depth int) error {
	if p.flags != branchPage && p.flags != leafPage {
		return p.wrong("is of no known kind")
	}
	if p.flags == branchPage && p.count == 0 {
		return p.wrong("is empty")
	}
	all := make([]element, p.count)
	for i := range all {
		var err error
		if all[i], err = p.element(i); err != nil {
			return err
		}
		if !within.holds(all[i].key) || i > 0 && bytes.Compare(all[i-1].key, all[i].key) >= 0 {
			return p.wrong("has a key out of order")
		}
	}
	for i, e := range all {
		var err error
		switch {
		case p.flags == branchPage:
			below := span{low: e.key, high: within.high}
			if i+1 < len(all) {
				below.high = all[i+1].key
			}
			err = s.tree(e.below, below, depth+1)
		case e.flags&bucketFlag != 0:
			err = s.bucket(p, e.value, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) bucket(p *page, value []byte, depth int) error {
	if len(value) < bucketHeaderSize {
		return p.wrong("has a bucket that is cut")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return s.tree(root, span{}, depth+1)
	}
	value = value[bucketHeaderSize:]
	if len(value) < pageHeaderSize || depth > deepest {
		return p.wrong("has a bucket that is cut")
	}
	order := binary.NativeEndian
	inline := &page{id: p.id, flags: order.Uint16(value[8:]), count: int(order.Uint16(value[10:])), bytes: value}
	if inline.flags != leafPage {
		return p.wrong("has a bucket of no known kind")
	}
	return s.elements(inline, span{}, depth+1)
}

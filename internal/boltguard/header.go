package boltguard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
)

// The meta pages of bbolt's format, version 2: a page header, then the fields
// at these places behind it. Numbers are in the order of the machine.
const (
	pageHeaderSize = 16
	metaSize       = 64
	metaMagic      = 0xED0CDAED
	metaVersion    = 2

	magicAt, versionAt, pageSizeAt = 0, 4, 8
	rootAt, freelistAt, pagesAt    = 16, 32, 40
	txidAt, checksumAt             = 48, 56

	noFreelist = ^uint64(0)

	minPageSize = 1 << 10
	maxPageSize = minPageSize << 14
)

// meta is what a meta page says of its file.
type meta struct {
	pageSize int64
	// pages is how many the file has.
	pages uint64
	txid  uint64
	// root is the page that the bucket of all buckets begins at.
	root uint64
	// freelist is the page of the list of free pages, or noFreelist.
	freelist uint64
}

// decodeMeta reads the meta page that begins a stretch of octets.
func decodeMeta(b []byte) (meta, bool) {
	if len(b) < pageHeaderSize+metaSize {
		return meta{}, false
	}
	b = b[pageHeaderSize : pageHeaderSize+metaSize]
	order := binary.NativeEndian
	sum := fnv.New64a()
	_, _ = sum.Write(b[:checksumAt]) // never fails
	m := meta{
		pageSize: int64(order.Uint32(b[pageSizeAt:])), pages: order.Uint64(b[pagesAt:]),
		txid: order.Uint64(b[txidAt:]), root: order.Uint64(b[rootAt:]), freelist: order.Uint64(b[freelistAt:]),
	}
	whole := order.Uint32(b[magicAt:]) == metaMagic && order.Uint32(b[versionAt:]) == metaVersion &&
		order.Uint64(b[checksumAt:]) == sum.Sum64()
	return m, whole && m.pageSize >= minPageSize && m.pageSize <= maxPageSize
}

// readMeta returns the newer of the two meta pages that are whole. The second
// may be anywhere that a length of page allows.
func readMeta(file io.ReaderAt) (newest meta, err error) {
	found := false
	take := func(at int64) error {
		b := make([]byte, pageHeaderSize+metaSize)
		if _, err := file.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if m, ok := decodeMeta(b); ok && (at == 0 || m.pageSize == at) && (!found || m.txid > newest.txid) {
			newest, found = m, true
		}
		return nil
	}
	err = take(0)
	for at := int64(minPageSize); at <= maxPageSize && err == nil; at *= 2 {
		err = take(at)
	}
	if err == nil && !found {
		err = fmt.Errorf("%w: it does not begin as a bbolt file does", ErrDamaged)
	}
	return newest, err
}

// inspect refuses a file that bbolt could not map without a fault.
func inspect(file *os.File) (meta, error) {
	info, err := file.Stat()
	if err != nil {
		return meta{}, err
	}
	switch {
	case !info.Mode().IsRegular():
		return meta{}, fmt.Errorf("%s is not a file", file.Name())
	case info.Size() == 0:
		return meta{}, fmt.Errorf("%w: it is empty", ErrDamaged)
	}
	m, err := readMeta(file)
	if err != nil {
		return meta{}, err
	}
	if whole := int64(m.pages) * m.pageSize; m.pages > math.MaxInt64/maxPageSize || info.Size() < whole {
		return meta{}, fmt.Errorf("%w: %d of %d octets are there", ErrDamaged, info.Size(), whole)
	}
	return m, nil
}

// renew writes the meta pages again, as they are read, and syncs. A sync that
// failed may have left the newest on no disk, while every reader sees it: what
// is built on it then would destroy what the disk still refers to.
func renew(file *os.File) error {
	m, err := readMeta(file)
	if err != nil {
		return err
	}
	b := make([]byte, 2*m.pageSize)
	if _, err := file.ReadAt(b, 0); err != nil {
		return err
	}
	if _, err := file.WriteAt(b, 0); err != nil {
		return err
	}
	return file.Sync()
}

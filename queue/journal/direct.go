package journal

import (
	"errors"
	"os"
	"syscall"
)

// A spare is overwritten past the page cache where the file system can do that:
// the disk takes the octets from the journal's own memory, and nothing is copied,
// or has to be written back by the sync.

// openDirect opens the spare in that way too, unless readers would miss its
// pages in the cache.
func (j *Journal) openDirect(name string) {
	c := &j.committer
	if directFlag == 0 || c.noDirect || !j.recent.suffices() {
		return
	}
	file, err := j.options.Files.OpenFile(name, os.O_RDWR|directFlag, 0)
	if err != nil {
		c.noDirect = errors.Is(err, syscall.EINVAL)
		return // the other way is as good
	}
	c.direct = file
}

// writeAt writes octets to a place in the segment. aligned says that they begin
// with a page of memory.
func (c *committer) writeAt(b []byte, at int64, aligned bool) error {
	overwrites := at%blockSize == 0 && len(b)%blockSize == 0 && at+int64(len(b)) <= c.allocated
	if c.direct != nil && aligned && overwrites {
		_, err := c.direct.WriteAt(b, at)
		if !errors.Is(err, syscall.EINVAL) {
			return err
		}
		c.noDirect = true // the disk has larger blocks
		_ = c.closeDirect()
	}
	_, err := c.file.WriteAt(b, at)
	return err
}

func (c *committer) closeDirect() error {
	if c.direct == nil {
		return nil
	}
	err := c.direct.Close()
	c.direct = nil
	return err
}

package journal

import (
	"errors"
	"os"
	"sync"
)

// maxHandles bounds the segments held open for reading.
const maxHandles = 64

// handleCache keeps segments open for reading. A handle is closed when it is
// neither cached nor in use.
type handleCache struct {
	open func(number uint32) (File, error)

	mu    sync.Mutex
	files map[uint32]*handle
}

type handle struct {
	file   File
	users  int
	cached bool
}

func (j *Journal) openSegment(number uint32) (File, error) {
	return j.options.Files.OpenFile(j.path(number), os.O_RDONLY, 0)
}

// acquire returns an open segment; the caller gives it to release.
func (c *handleCache) acquire(number uint32) (*handle, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.files[number]; h != nil {
		h.users++
		return h, nil
	}
	file, err := c.open(number)
	if err != nil {
		return nil, err
	}
	if c.files == nil {
		c.files = map[uint32]*handle{}
	}
	for other := range c.files {
		if len(c.files) < maxHandles {
			break
		}
		_ = c.forget(other) // opened for reading: nothing to lose
	}
	h := &handle{file: file, users: 1, cached: true}
	c.files[number] = h
	return h, nil
}

func (c *handleCache) release(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.users--
	_ = h.closeIfIdle() // opened for reading: nothing to lose
}

// drop lets go of a segment, and reports whether somebody still reads it.
func (c *handleCache) drop(number uint32) (inUse bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.files[number]
	err = c.forget(number)
	return h != nil && h.users > 0, err
}

func (c *handleCache) closeAll() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for number := range c.files {
		errs = append(errs, c.forget(number))
	}
	return errors.Join(errs...)
}

func (c *handleCache) forget(number uint32) error {
	h := c.files[number]
	if h == nil {
		return nil
	}
	delete(c.files, number)
	h.cached = false
	return h.closeIfIdle()
}

func (h *handle) closeIfIdle() error {
	if h.users == 0 && !h.cached {
		return h.file.Close()
	}
	return nil
}

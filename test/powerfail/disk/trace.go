package disk

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// ErrNotModelled: a traced program did to its files what the model does not
// know, so that nothing can be said about them.
var ErrNotModelled = errors.New("not modelled")

// Calls are the system calls that a trace must hold; those that a machine does
// not have are marked as optional.
func Calls() string {
	return strings.Join([]string{
		"?open", "openat", "?openat2", "?creat", "close", "?dup", "?dup2", "dup3",
		"?accept", "accept4", "socket", "bind", "read", "readv",
		"write", "writev", "pwrite64", "pwritev", "pwritev2", "lseek", "ftruncate", "truncate", "fallocate",
		"fsync", "fdatasync", "sync_file_range", "msync", "sync", "syncfs",
		"?rename", "?renameat", "renameat2", "?unlink", "unlinkat", "?rmdir", "?mkdir", "mkdirat", "?link", "linkat", "?symlink", "symlinkat",
		"mmap", "sendfile", "splice", "copy_file_range", "io_uring_setup",
	}, ",")
}

// ReadTrace makes steps of what `strace -f -xx -s <large> -o` wrote of the
// calls in Calls. Only files below the folder root count; begin is what was in
// it at first, all of it durable. Writes to descriptor notes are Note steps; on
// sockets, reads are Heard steps and writes Said steps.
func ReadTrace(r io.Reader, root string, begin Image, notes int) ([]Step, error) {
	moments, err := readCalls(r)
	if err != nil {
		return nil, err
	}
	t := &tracer{root: path.Clean(root), names: newNames(), files: map[int64]*description{}, sockets: map[int64]int64{}, notes: int64(notes), begun: map[*call]int{}}
	t.names.load(begin)
	for _, m := range moments {
		if m.call.result < 0 && m.call.ended || m.call.result < 0 && m.end {
			continue // it did nothing
		}
		if m.end {
			err = t.end(m.call)
		} else {
			err = t.begin(m.call)
		}
		if err != nil {
			return nil, err
		}
	}
	return t.steps, nil
}

// description is an open file.
type description struct {
	inode  Inode
	offset int64
	append bool
}

// tracer follows descriptors and names through a trace.
type tracer struct {
	root  string
	names *names
	files map[int64]*description
	// sockets are the connections by their descriptors, numbered as they began.
	sockets     map[int64]int64
	connections int64
	notes       int64
	steps       []Step
	// begun is the step that a call under way is.
	begun map[*call]int
}

func (t *tracer) step(c *call, s Step) {
	t.begun[c] = len(t.steps)
	t.steps = append(t.steps, s)
}

// begin takes what a call does. That it will succeed is known.
func (t *tracer) begin(c *call) error {
	switch c.name {
	case "open", "openat", "creat", "openat2":
		return t.open(c)
	case "close":
		fd, err := c.number(0)
		delete(t.files, fd)
		delete(t.sockets, fd)
		return err
	case "bind":
		return t.bind(c)
	case "write", "writev", "pwrite64", "pwritev", "pwritev2":
		return t.write(c)
	case "lseek", "mmap", "dup", "dup2", "dup3", "sync_file_range":
		return t.describe(c)
	case "ftruncate", "truncate", "fallocate":
		return t.resize(c)
	case "fsync", "fdatasync":
		return t.sync(c)
	case "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat":
		return t.rename(c)
	case "msync", "sync", "syncfs", "sendfile", "splice", "copy_file_range":
		// They would promise more than the model grants, or write: only the
		// latter matters.
		return t.copies(c)
	case "io_uring_setup":
		return fmt.Errorf("%w: io_uring", ErrNotModelled)
	}
	return nil
}

// end takes note that a call has returned.
func (t *tracer) end(c *call) error {
	switch c.name {
	case "open", "openat", "creat", "openat2":
		t.opened(c)
	case "accept", "accept4", "socket":
		t.connected(c)
	case "read", "readv":
		return t.read(c)
	case "lseek":
		if fd, err := c.number(0); err == nil && t.files[fd] != nil {
			t.files[fd].offset = c.result
		}
	}
	if begun, ok := t.begun[c]; ok {
		delete(t.begun, c)
		t.steps = append(t.steps, Step{Action: Done, Offset: int64(begun)})
	}
	return nil
}

func (t *tracer) file(c *call, argument int) (*description, error) {
	fd, err := c.number(argument)
	return t.files[fd], err
}

// place returns the directory and the name that a path argument means; ok is
// false outside of root. at is the argument before it that says from where, or
// -1.
func (t *tracer) place(c *call, at, argument int) (place, bool, error) {
	raw, err := c.octets(argument)
	if err != nil {
		return place{}, false, err
	}
	name := string(raw)
	if !path.IsAbs(name) {
		if at < 0 || c.argument(at) == "AT_FDCWD" {
			return place{}, false, nil // programs under trace name their files from the root
		}
		d, err := t.file(c, at)
		if err != nil || d == nil {
			return place{}, false, err
		}
		p, ok := t.names.below(d.inode, name)
		return p, ok, nil
	}
	rest, inside := strings.CutPrefix(path.Clean(name), t.root)
	if !inside || rest != "" && rest[0] != '/' {
		return place{}, false, nil
	}
	p, ok := t.names.below(Root, strings.TrimPrefix(rest, "/"))
	return p, ok, nil
}

func (t *tracer) open(c *call) error {
	at, flags := 0, strings.Split(c.argument(2), "|")
	switch c.name {
	case "open":
		at, flags = -1, strings.Split(c.argument(1), "|")
	case "creat":
		at, flags = -1, []string{"O_WRONLY", "O_CREAT", "O_TRUNC"}
	}
	p, ok, err := t.place(c, at, at+1)
	if err != nil || !ok {
		return err
	}
	if c.name == "openat2" || slices.Contains(flags, "O_TMPFILE") {
		return fmt.Errorf("%w: %s", ErrNotModelled, c.name)
	}
	inode, known := t.names.find(p)
	if !known {
		inode = t.names.create(p, Regular)
		t.step(c, Step{Action: Enter, Inode: p.directory, Name: p.name, Child: inode})
	} else if slices.Contains(flags, "O_TRUNC") {
		t.step(c, Step{Action: Resize, Inode: inode})
	}
	t.names.opening[c] = &description{inode: inode, append: slices.Contains(flags, "O_APPEND")}
	return nil
}

func (t *tracer) opened(c *call) {
	delete(t.sockets, c.result)
	if d := t.names.opening[c]; d != nil {
		t.files[c.result] = d
		delete(t.names.opening, c)
		return
	}
	delete(t.files, c.result) // something else has this number now
}

func (t *tracer) write(c *call) error {
	fd, err := c.number(0)
	if err != nil {
		return err
	}
	d, connection := t.files[fd], t.sockets[fd]
	if d == nil && connection == 0 && fd != t.notes {
		return nil
	}
	data, err := c.octets(1)
	if err != nil {
		return err
	}
	if c.ended {
		data = data[:min(int64(len(data)), c.result)]
	}
	switch {
	case connection != 0:
		t.steps = append(t.steps, Step{Action: Said, Offset: connection, Data: data})
		return nil
	case d == nil:
		t.steps = append(t.steps, Step{Action: Note, Data: data})
		return nil
	}
	offset := d.offset
	if strings.HasPrefix(c.name, "pwrite") {
		if offset, err = c.number(3); err != nil {
			return err
		}
	} else if d.append {
		return fmt.Errorf("%w: write at the end of a file", ErrNotModelled)
	} else {
		d.offset += int64(len(data))
	}
	t.step(c, Step{Action: Write, Inode: d.inode, Offset: offset, Data: data})
	return nil
}

// describe takes what concerns a descriptor alone.
func (t *tracer) describe(c *call) error {
	if c.name != "mmap" {
		d, err := t.file(c, 0)
		if err == nil && d != nil && strings.HasPrefix(c.name, "dup") {
			err = fmt.Errorf("%w: %s", ErrNotModelled, c.name)
		}
		return err
	}
	if !strings.Contains(c.argument(2), "PROT_WRITE") || !strings.Contains(c.argument(3), "MAP_SHARED") {
		return nil
	}
	d, err := t.file(c, 4)
	if err == nil && d != nil {
		err = fmt.Errorf("%w: writes through a map", ErrNotModelled)
	}
	return err
}

func (t *tracer) resize(c *call) error {
	if c.name == "truncate" {
		p, ok, err := t.place(c, -1, 0)
		if err != nil || !ok {
			return err
		}
		inode, _ := t.names.find(p)
		return t.resized(c, inode, 1)
	}
	d, err := t.file(c, 0)
	if err != nil || d == nil {
		return err
	}
	if c.name == "fallocate" {
		return t.allocated(c, d.inode)
	}
	return t.resized(c, d.inode, 1)
}

func (t *tracer) resized(c *call, inode Inode, argument int) error {
	size, err := c.number(argument)
	if err == nil {
		t.step(c, Step{Action: Resize, Inode: inode, Offset: size})
	}
	return err
}

func (t *tracer) allocated(c *call, inode Inode) error {
	offset, err := c.number(2)
	if err != nil {
		return err
	}
	length, err := c.number(3)
	switch mode := c.argument(1); {
	case err != nil:
		return err
	case mode == "FALLOC_FL_KEEP_SIZE":
	case mode == "0":
		t.step(c, Step{Action: Extend, Inode: inode, Offset: offset + length})
	default:
		return fmt.Errorf("%w: fallocate with %s", ErrNotModelled, mode)
	}
	return nil
}

func (t *tracer) sync(c *call) error {
	d, err := t.file(c, 0)
	if err == nil && d != nil {
		t.step(c, Step{Action: Sync, Inode: d.inode})
	}
	return err
}

func (t *tracer) copies(c *call) error {
	to := map[string]int{"sendfile": 0, "splice": 2, "copy_file_range": 2}
	argument, writes := to[c.name]
	if !writes {
		return nil
	}
	d, err := t.file(c, argument)
	if err == nil && d != nil {
		err = fmt.Errorf("%w: %s", ErrNotModelled, c.name)
	}
	return err
}

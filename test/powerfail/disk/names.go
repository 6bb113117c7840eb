package disk

import (
	"fmt"
	"strings"
)

// place is a name in a directory; an empty name is the directory itself.
type place struct {
	directory Inode
	name      string
}

// names is the tree of files as the traced program sees it.
type names struct {
	directories map[Inode]map[string]Inode
	last        Inode
	// opening are the descriptions of open calls under way.
	opening map[*call]*description
}

func newNames() *names {
	return &names{directories: map[Inode]map[string]Inode{Root: {}}, last: Root, opening: map[*call]*description{}}
}

// load enters an image's files, numbered as Image.order has it.
func (n *names) load(begin Image) {
	for _, name := range begin.order() {
		p, _ := n.below(Root, name)
		n.create(p, begin[name].Kind)
	}
}

// below follows a relative path to the last directory on it.
func (n *names) below(from Inode, name string) (place, bool) {
	for {
		first, rest, more := strings.Cut(name, "/")
		if !more {
			return place{from, first}, true
		}
		next, ok := n.directories[from][first]
		if !ok || n.directories[next] == nil {
			return place{}, false
		}
		from, name = next, rest
	}
}

func (n *names) find(p place) (Inode, bool) {
	if p.name == "" {
		return p.directory, true
	}
	inode, ok := n.directories[p.directory][p.name]
	return inode, ok
}

func (n *names) create(p place, kind Kind) Inode {
	n.last++
	n.directories[p.directory][p.name] = n.last
	if kind == Directory {
		n.directories[n.last] = map[string]Inode{}
	}
	return n.last
}

func (n *names) kind(inode Inode) Kind {
	if n.directories[inode] != nil {
		return Directory
	}
	return Regular
}

// rename takes the calls that change names.
func (t *tracer) rename(c *call) error {
	at := -1
	if strings.HasSuffix(c.name, "at") || strings.HasSuffix(c.name, "at2") {
		at = 0
	}
	p, inside, err := t.place(c, at, at+1)
	if err != nil {
		return err
	}
	kind := strings.TrimSuffix(strings.TrimSuffix(c.name, "2"), "at")
	switch {
	case kind == "rename":
		to, ok, err := t.place(c, at, 1)
		if at == 0 {
			to, ok, err = t.place(c, 2, 3)
		}
		if err != nil || !inside && !ok {
			return err
		}
		if !inside || !ok {
			return fmt.Errorf("%w: rename into or out of the folder", ErrNotModelled)
		}
		return t.move(c, p, to)
	case !inside:
		return nil
	case kind == "mkdir":
		inode := t.names.create(p, Directory)
		t.step(c, Step{Action: Enter, Inode: p.directory, Name: p.name, Child: inode, Kind: Directory})
		return nil
	case kind == "unlink", kind == "rmdir":
		delete(t.names.directories[p.directory], p.name)
		t.step(c, Step{Action: Leave, Inode: p.directory, Name: p.name})
		return nil
	}
	return fmt.Errorf("%w: %s", ErrNotModelled, c.name)
}

func (t *tracer) move(c *call, from, to place) error {
	inode, ok := t.names.find(from)
	if !ok {
		return fmt.Errorf("%w: rename of %s, which is not known", errTrace, from.name)
	}
	delete(t.names.directories[from.directory], from.name)
	t.names.directories[to.directory][to.name] = inode
	t.step(c, Step{Action: Move, Inode: to.directory, Name: to.name, Child: inode, OldInode: from.directory, OldName: from.name, Kind: t.names.kind(inode)})
	return nil
}

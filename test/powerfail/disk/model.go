package disk

import (
	"fmt"
	"maps"
	"path"
	"slices"
)

// Model is a disk in the course of a trace.
type Model struct {
	inodes map[Inode]*inode
	// asked are the steps that are not durable yet, in order.
	asked []*request
	// syncs under way, by the number of their step.
	syncs map[int][]*request
	count int
	// ghost is the content of the file whose name was last taken away: what
	// the blocks of a new file may show before it is written.
	ghost []byte
}

// inode is the durable part of a file or directory.
type inode struct {
	content
	entries map[string]entry
}

type entry struct {
	inode Inode
	kind  Kind
}

// request is a step that the disk need not have followed.
type request struct {
	Step
	number  int
	done    bool
	durable bool
}

// NewModel returns a disk on which begin is durable.
func NewModel(begin Image) *Model {
	m := &Model{inodes: map[Inode]*inode{}, syncs: map[int][]*request{}}
	numbers := newNames()
	for _, name := range begin.order() {
		p, _ := numbers.below(Root, name)
		file := begin[name]
		child := numbers.create(p, file.Kind)
		m.inode(p.directory).entries[p.name] = entry{child, file.Kind}
		m.inode(child).content = content{slices.Clone(file.Data), file.Zeros}
	}
	m.inode(Root)
	return m
}

func (m *Model) inode(number Inode) *inode {
	i := m.inodes[number]
	if i == nil {
		i = &inode{entries: map[string]entry{}}
		m.inodes[number] = i
	}
	return i
}

// Apply takes the next step.
func (m *Model) Apply(s Step) error {
	number := m.count
	m.count++
	switch s.Action {
	case Write, Resize, Extend, Enter, Move, Leave:
		m.asked = append(m.asked, &request{Step: s, number: number})
	case Sync:
		m.syncs[number] = m.begin(s.Inode)
	case Done:
		m.end(int(s.Offset))
	case Note, Heard, Said:
	default:
		return fmt.Errorf("step %d: action %d", number, s.Action)
	}
	return nil
}

// begin returns what a sync that begins now makes durable. A move is in two
// directories: the sync of one carries the whole of it, and with it whatever
// happened to its names before.
func (m *Model) begin(of Inode) []*request {
	var covered []*request
	carried := map[place]bool{}
	for _, r := range slices.Backward(m.asked) {
		to, from := place{r.Inode, r.Name}, place{r.OldInode, r.OldName}
		names := r.Name != "" && (carried[to] || carried[from])
		if !r.done || !names && r.Inode != of && (r.Action != Move || r.OldInode != of) {
			continue
		}
		covered = append(covered, r)
		if r.Action == Move {
			carried[to], carried[from] = true, true
		}
	}
	slices.Reverse(covered)
	return covered
}

func (m *Model) end(number int) {
	covered, sync := m.syncs[number]
	if !sync {
		for _, r := range m.asked {
			if r.number == number {
				r.done = true
			}
		}
		return
	}
	delete(m.syncs, number)
	for _, r := range covered {
		if !r.durable {
			r.durable = true
			m.keep(r)
		}
	}
	m.asked = slices.DeleteFunc(m.asked, func(r *request) bool { return r.durable })
}

// keep makes a request durable.
func (m *Model) keep(r *request) {
	i := m.inode(r.Inode)
	switch r.Action {
	case Write, Resize, Extend:
		f := filling{content: i.content}
		f.apply(r, nil, true)
		i.content = f.content
	default:
		if gone, ok := r.rename(m); ok {
			m.ghost = m.inode(gone).data
		}
	}
}

func (m *Model) directory(number Inode) map[string]entry { return m.inode(number).entries }

// tree is the directories of a disk.
type tree interface {
	directory(Inode) map[string]entry
	// unname takes the name of an inode away, if it has one.
	unname(Inode)
}

// rename changes directories as the request has it, and returns what lost its
// name. Nothing has two names: a move takes the last one away, also if that is
// an earlier one than the program believed.
func (r *request) rename(t tree) (gone Inode, lost bool) {
	if r.Action == Move {
		t.unname(r.Child)
	}
	within := t.directory(r.Inode)
	before, had := within[r.Name]
	if r.Action == Leave {
		delete(within, r.Name)
	} else {
		within[r.Name] = entry{r.Child, r.Kind}
	}
	return before.inode, had && before.inode != r.Child
}

func (m *Model) unname(gone Inode) {
	for _, i := range m.inodes {
		maps.DeleteFunc(i.entries, func(_ string, e entry) bool { return e.inode == gone })
	}
}

// Pending is how many steps are asked for and not durable.
func (m *Model) Pending() int { return len(m.asked) }

// Sectors is how many sectors the pending step i writes; zero if it is no
// write.
func (m *Model) Sectors(i int) int {
	r := m.asked[i]
	if r.Action != Write || len(r.Data) == 0 {
		return 0
	}
	first, end := r.sectors()
	return int(end - first)
}

func (r *request) sectors() (first, end int64) {
	return r.Offset / SectorSize, (r.Offset + int64(len(r.Data)) + SectorSize - 1) / SectorSize
}

// Fail returns what the disk holds if the power fails now, and fate decides
// over what is pending. The image shares memory with the model: it is valid until
// the next Apply.
func (m *Model) Fail(fate Fate) Image {
	v := view{model: m, fate: fate, files: map[Inode]*filling{}, entries: map[Inode]map[string]entry{}}
	for i, r := range m.asked {
		switch r.Action {
		case Write, Resize, Extend:
			v.fill(i, r)
		default:
			if fate.Happened(i) {
				r.rename(&v)
			}
		}
	}
	image := Image{}
	v.walk(image, Root, "")
	return image
}

// view is a disk after its power failed.
type view struct {
	model   *Model
	fate    Fate
	files   map[Inode]*filling
	entries map[Inode]map[string]entry
}

func (v *view) directory(number Inode) map[string]entry {
	if v.entries[number] == nil {
		v.entries[number] = maps.Clone(v.model.inode(number).entries)
	}
	return v.entries[number]
}

func (v *view) unname(gone Inode) {
	for number, i := range v.model.inodes {
		if len(i.entries) > 0 || v.entries[number] != nil {
			maps.DeleteFunc(v.directory(number), func(_ string, e entry) bool { return e.inode == gone })
		}
	}
}

func (v *view) fill(i int, r *request) {
	f := v.files[r.Inode]
	if f == nil {
		f = &filling{content: v.model.inode(r.Inode).content, shared: true}
		if v.fate.Stale {
			f.ghost = v.model.ghost
		}
		v.files[r.Inode] = f
	}
	switch {
	case r.Action == Write:
		f.apply(r, func(sector int) bool { return v.fate.Sector(i, sector) }, v.fate.Grown(i))
	case v.fate.Happened(i):
		f.apply(r, nil, false)
	}
}

func (v *view) walk(image Image, number Inode, name string) {
	for child, e := range v.directory(number) {
		at := path.Join(name, child)
		if e.kind != Regular {
			image[at] = File{Kind: e.kind}
		}
		if e.kind == Directory {
			v.walk(image, e.inode, at)
		}
		if e.kind != Regular {
			continue
		}
		holds := v.model.inode(e.inode).content
		if f := v.files[e.inode]; f != nil {
			holds = f.content
		}
		image[at] = File{Data: holds.data, Zeros: holds.zeros}
	}
}

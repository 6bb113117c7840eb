package config

import (
	"bytes"
	"errors"
	"sort"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// The TOML library decodes up to the first mistake. To report them all, its
// parser's expressions are gathered here into a tree that knows the place of
// every key; decoder.go maps the tree to the structs.

type nodeKind uint8

const (
	scalarNode nodeKind = iota
	tableNode
	arrayNode
)

// node is a value with its place.
type node struct {
	kind nodeKind
	// place of the value, and key that of the key.
	place, key place
	// scalar and text are what a scalar is; text is unquoted for strings.
	scalar unstable.Kind
	text   string
	// keys are the names of a table's entries in the order of the file.
	keys    []string
	entries map[string]*node
	items   []*node
	// closed tables and arrays were written as values and take no more.
	closed bool
	// defined tables had a header of their own.
	defined bool
}

func newTable(at place) *node {
	return &node{kind: tableNode, place: at, key: at, entries: map[string]*node{}}
}

func (n *node) put(name string, child *node) {
	n.keys = append(n.keys, name)
	n.entries[name] = child
}

// treeBuilder turns a document into a tree.
type treeBuilder struct {
	parser   unstable.Parser
	lines    []int
	problems *problems
	root     *node
	// table receives key-values; nil under a header that was refused.
	table *node
}

// parseTree returns what could be read of data, and whether that was all.
func parseTree(data []byte, problems *problems) (root *node, whole bool) {
	data, whole = withoutSyntaxErrors(data, problems)
	b := &treeBuilder{lines: lineStarts(data), problems: problems}
	b.root = newTable(place{line: 1, column: 1})
	b.root.defined = true
	b.table = b.root
	b.parser.Reset(data)
	for b.parser.NextExpression() {
		b.expression(b.parser.Expression())
	}
	if whole {
		whole = libraryAgrees(data, problems)
	}
	return b.root, whole
}

// libraryAgrees lets the library judge what the parser alone does not: dates,
// tables defined twice. Its mistake is reported unless one is known on that
// line.
func libraryAgrees(data []byte, problems *problems) bool {
	err := toml.Unmarshal(data, &map[string]any{})
	if err == nil {
		return true
	}
	at := place{line: 1, column: 1}
	if decode, ok := errors.AsType[*toml.DecodeError](err); ok {
		at.line, at.column = decode.Position()
	}
	if !problems.onLine(at.line) {
		problems.add(at, "expected TOML: %s", strings.TrimPrefix(err.Error(), "toml: "))
	}
	return false
}

func (b *treeBuilder) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table:
		b.table = b.header(n, false)
	case unstable.ArrayTable:
		b.table = b.header(n, true)
	case unstable.KeyValue:
		if b.table != nil {
			b.keyValue(b.table, n)
		}
	}
}

// header enters the table that [a.b] or [[a.b]] names.
func (b *treeBuilder) header(n *unstable.Node, array bool) *node {
	table := b.root
	names := n.Key()
	for names.Next() {
		at, name := b.keyPlace(table, names.Node()), string(names.Node().Data)
		switch {
		case !names.IsLast():
			table = b.descend(table, name, at)
		case array:
			table = b.appendTable(table, name, at)
		default:
			if table = b.descend(table, name, at); table != nil && table.defined {
				b.problems.add(at, "expected once: the table is in the file already")
				return nil
			}
		}
		if table == nil {
			return nil
		}
	}
	table.defined = true
	return table
}

// descend returns the table name in parent, made where it is missing; of an
// array of tables the last.
func (b *treeBuilder) descend(parent *node, name string, at place) *node {
	child, ok := parent.entries[name]
	if !ok {
		child = newTable(at)
		parent.put(name, child)
		return child
	}
	if child.kind == arrayNode && !child.closed {
		return child.items[len(child.items)-1]
	}
	if child.kind != tableNode || child.closed {
		b.problems.add(at, "expected once: the key has a value already")
		return nil
	}
	return child
}

func (b *treeBuilder) appendTable(parent *node, name string, at place) *node {
	array, ok := parent.entries[name]
	if !ok {
		array = &node{kind: arrayNode, place: at, key: at}
		parent.put(name, array)
	}
	if array.kind != arrayNode || array.closed {
		b.problems.add(at, "expected once: the key has a value already")
		return nil
	}
	table := newTable(at)
	array.items = append(array.items, table)
	return table
}

func (b *treeBuilder) keyValue(table *node, n *unstable.Node) {
	names := n.Key()
	for names.Next() {
		at, name := b.keyPlace(table, names.Node()), string(names.Node().Data)
		if !names.IsLast() {
			if table = b.descend(table, name, at); table == nil {
				return
			}
			continue
		}
		if _, exists := table.entries[name]; exists {
			b.problems.add(at, "expected once: the key is in the file already")
			return
		}
		table.put(name, b.value(n.Value(), at))
	}
}

// value builds the node of a value. A scalar's place is its own; tables and
// arrays have that of their key.
func (b *treeBuilder) value(n *unstable.Node, at place) *node {
	v := &node{place: at, key: at, closed: true}
	switch n.Kind {
	case unstable.Array:
		v.kind = arrayNode
		for items := n.Children(); items.Next(); {
			v.items = append(v.items, b.value(items.Node(), at))
		}
	case unstable.InlineTable:
		v = newTable(at)
		for pairs := n.Children(); pairs.Next(); {
			b.keyValue(v, pairs.Node())
		}
		v.closed = true
	default:
		v.scalar, v.text = n.Kind, string(n.Data)
		v.place.line, v.place.column = b.position(n.Raw)
	}
	return v
}

func (b *treeBuilder) keyPlace(parent *node, n *unstable.Node) place {
	at := place{key: string(n.Data)}
	if parent.place.key != "" {
		at.key = parent.place.key + "." + at.key
	}
	at.line, at.column = b.position(n.Raw)
	return at
}

func (b *treeBuilder) position(r unstable.Range) (line, column int) {
	return position(b.lines, int(r.Offset))
}

// position turns an offset into line and column, from where the lines start.
func position(lines []int, offset int) (line, column int) {
	line = sort.SearchInts(lines, offset+1)
	return line, offset - lines[line-1] + 1
}

// lineStarts returns the offset of every line.
func lineStarts(data []byte) []int {
	starts := []int{0}
	for offset := 0; ; {
		i := bytes.IndexByte(data[offset:], '\n')
		if i < 0 {
			return starts
		}
		offset += i + 1
		starts = append(starts, offset)
	}
}

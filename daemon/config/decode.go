package config

import (
	"io/fs"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// decoder maps the tree of a file to the structs.
type decoder struct {
	problems problems
	// credentials is the folder that ${credentials} stands for.
	credentials string
	// nodes that were set, by their path with indexes.
	nodes map[string]*node
	files []fileReference
	// whole is false where the file could not be read to its end: what is
	// missing may stand behind the mistake.
	whole bool
}

func newDecoder(name, credentialsDir string) *decoder {
	return &decoder{
		problems:    problems{file: name},
		credentials: credentialsDir,
		nodes:       map[string]*node{},
	}
}

// config decodes, resolves and checks a file.
func (d *decoder) config(data []byte) *Config {
	root, whole := parseTree(data, &d.problems)
	d.whole = whole
	c := defaults()
	d.table(root, reflect.ValueOf(c).Elem(), "")
	if !whole {
		return c
	}
	d.resolve(c)
	d.check(c)
	return c
}

// path names an element of an array of tables.
func path(key string, index int) string { return key + "[" + strconv.Itoa(index) + "]" }

// isSet reports whether the file has the key.
func (d *decoder) isSet(path string) bool { return d.nodes[path] != nil }

// isGiven reports whether the file has the key and it is not empty.
func (d *decoder) isGiven(path string) bool {
	n := d.nodes[path]
	if n == nil {
		return false
	}
	return n.kind == tableNode || n.kind == arrayNode && len(n.items) > 0 || n.kind == scalarNode && n.text != ""
}

// at returns the place of the first of paths that is set.
func (d *decoder) at(key string, paths ...string) place {
	for _, path := range paths {
		if n := d.nodes[path]; n != nil {
			return place{n.place.line, n.place.column, key}
		}
	}
	return place{line: 1, column: 1, key: key}
}

// table decodes n into a struct.
func (d *decoder) table(n *node, into reflect.Value, path string) {
	d.nodes[path] = n
	fields := fieldsOf(into.Type())
	for _, name := range n.keys {
		child := n.entries[name]
		i, known := fields[name]
		if !known {
			d.problems.add(child.key, "unknown key%s", suggestion(name, fields))
			continue
		}
		at := join(path, name)
		d.nodes[at] = child
		d.value(child, into.Field(i), into.Type().Field(i).Tag, at)
	}
	if d.whole {
		d.required(n, into, path)
	}
}

func (d *decoder) required(n *node, into reflect.Value, path string) {
	for i := range into.NumField() {
		field := into.Type().Field(i)
		name := field.Tag.Get("toml")
		if field.Tag.Get("required") == "" || n.entries[name] != nil {
			continue
		}
		d.problems.add(place{n.place.line, n.place.column, join(n.place.key, name)}, "missing; expected %s", expected(field.Type, field.Tag))
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// fieldsOf maps the keys of a struct to its fields.
func fieldsOf(t reflect.Type) map[string]int {
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		fields[t.Field(i).Tag.Get("toml")] = i
	}
	return fields
}

// isTable reports a struct that is a table of the file and not a value.
func isTable(t reflect.Type) bool {
	return t.Kind() == reflect.Struct &&
		t != reflect.TypeFor[Rate]() && t != reflect.TypeFor[netip.Addr]() && t != reflect.TypeFor[netip.Prefix]()
}

func (d *decoder) value(n *node, into reflect.Value, tag reflect.StructTag, path string) {
	t := into.Type()
	switch {
	case isTable(t):
		if n.kind != tableNode {
			d.problems.add(n.place, "expected a table [%s]", n.place.key)
			return
		}
		d.table(n, into, path)
	case t.Kind() == reflect.Slice && isTable(t.Elem()):
		d.tables(n, into, path)
	case t.Kind() == reflect.Slice:
		d.list(n, into, tag)
	default:
		d.scalar(n, into, tag)
	}
}

func (d *decoder) tables(n *node, into reflect.Value, at string) {
	if n.kind != arrayNode {
		d.problems.add(n.place, "expected tables, each under a [[%s]]", n.place.key)
		return
	}
	for i, item := range n.items {
		if item.kind != tableNode {
			d.problems.add(item.place, "expected a table")
			continue
		}
		element := reflect.New(into.Type().Elem())
		if with, ok := element.Interface().(interface{ setDefaults() }); ok {
			with.setDefaults()
		}
		d.table(item, element.Elem(), path(at, i))
		into.Set(reflect.Append(into, element.Elem()))
	}
}

// list decodes an array of scalars; a lone scalar is an array of one.
func (d *decoder) list(n *node, into reflect.Value, tag reflect.StructTag) {
	items := n.items
	if n.kind == scalarNode {
		items = []*node{n}
	}
	if n.kind == tableNode || tag.Get("required") != "" && len(items) == 0 {
		d.problems.add(n.place, "expected %s", expected(into.Type(), tag))
		return
	}
	list := reflect.MakeSlice(into.Type(), 0, len(items))
	for _, item := range items {
		element := reflect.New(into.Type().Elem()).Elem()
		d.scalar(item, element, tag)
		list = reflect.Append(list, element)
	}
	into.Set(list)
}

// scalar decodes and checks one value.
func (d *decoder) scalar(n *node, into reflect.Value, tag reflect.StructTag) {
	want := wanted(into.Type())
	if n.kind != scalarNode || n.scalar != want && (n.scalar != unstable.Integer || want != unstable.Float) {
		d.problems.add(n.place, "expected %s, not %s", expected(into.Type(), tag), n.describe())
		return
	}
	var wrong string
	switch target := into.Addr().Interface().(type) {
	case *bool:
		*target = n.text == "true"
	case *SecretFile:
		*target, wrong = d.secretFile(n, tag)
	case *string:
		*target, wrong = d.text(n, tag)
	default:
		if !parseInto(target, n.text) {
			wrong = "not " + quoted(n)
		}
	}
	if wrong == "" && outOfRange(into, tag) {
		wrong = "not " + quoted(n)
	}
	if wrong != "" {
		d.problems.add(n.place, "expected %s, %s", expected(into.Type(), tag), wrong)
	}
}

// parseInto reads text as the type that target points to.
func parseInto(target any, text string) bool {
	var err error
	switch target := target.(type) {
	case *int:
		*target, err = parseInt(text)
	case *float64:
		*target, err = strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	case *time.Duration:
		*target, err = ParseDuration(text)
	case *Size:
		*target, err = ParseSize(text)
	case *Rate:
		*target, err = ParseRate(text)
	case *fs.FileMode:
		*target, err = parseMode(text)
	case *netip.Addr:
		if text != "" {
			*target, err = netip.ParseAddr(text)
		}
	case *netip.Prefix:
		*target, err = parsePrefix(text)
	}
	return err == nil
}

// wanted is the kind of TOML value that a type is written as.
func wanted(t reflect.Type) unstable.Kind {
	switch t {
	case reflect.TypeFor[bool]():
		return unstable.Bool
	case reflect.TypeFor[int]():
		return unstable.Integer
	case reflect.TypeFor[float64]():
		return unstable.Float
	}
	return unstable.String
}

// describe names what stands in the file instead of what was expected.
func (n *node) describe() string {
	switch {
	case n.kind == tableNode:
		return "a table"
	case n.kind == arrayNode:
		return "an array"
	case n.scalar == unstable.String:
		return "text"
	case n.scalar == unstable.Bool:
		return "a boolean"
	case n.scalar == unstable.Integer:
		return "a whole number"
	case n.scalar == unstable.Float:
		return "a number"
	}
	return "a date or time"
}

// quoted shows a value in a message, cut where it is long.
func quoted(n *node) string {
	text := n.text
	if len(text) > 80 {
		text = text[:80] + "..."
	}
	if n.scalar == unstable.String {
		return strconv.Quote(text)
	}
	return text
}

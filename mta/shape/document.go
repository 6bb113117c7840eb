package shape

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Problem is one mistake in a file of provider rules.
type Problem struct {
	File string
	// Line counts from 1.
	Line int
	// Key is the dotted name of what is wrong; empty where the file is not
	// TOML.
	Key string
	// Message says what was expected.
	Message string
}

// Error returns file:line: key: message.
func (p Problem) Error() string {
	at := fmt.Sprintf("%s:%d: ", p.File, p.Line)
	if p.Key != "" {
		at += p.Key + ": "
	}
	return at + p.Message
}

// Problems are all mistakes of a file, in the order of its lines.
type Problems []Problem

// Error returns one line for each.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// document is a TOML file that is read key by key, so that everything that is
// wrong with it can be reported at once.
type document struct {
	file     string
	lines    map[string]int
	problems Problems
}

// openDocument parses data. It returns the root table; nil where the file is
// not TOML, which is then the one problem.
func openDocument(file string, data []byte) (*document, *table) {
	d := &document{file: file, lines: map[string]int{}}
	values := map[string]any{}
	if err := toml.Unmarshal(data, &values); err != nil {
		line := 1
		if decode, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, _ = decode.Position()
		}
		d.problems = Problems{{file, line, "", "expected TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}}
		return d, nil
	}
	d.locate(data)
	return d, &table{document: d, values: values, known: map[string]bool{}}
}

// locate notes the line of every key under its path, the items of arrays of
// tables by their numbers.
func (d *document) locate(data []byte) {
	starts := []int{0}
	for i, c := range data {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	var parser unstable.Parser
	parser.Reset(data)
	counts := map[string]int{}
	header := ""
	for parser.NextExpression() {
		e := parser.Expression()
		base := header
		if e.Kind != unstable.KeyValue {
			base = ""
		}
		for names := e.Key(); names.Next(); {
			base = join(base, string(names.Node().Data))
			line := sort.SearchInts(starts, int(names.Node().Raw.Offset)+1)
			if names.IsLast() && e.Kind == unstable.ArrayTable {
				counts[base]++
			}
			if n := counts[base]; n > 0 && e.Kind != unstable.KeyValue {
				base = item(base, n-1)
			}
			if _, seen := d.lines[base]; !seen {
				d.lines[base] = line
			}
		}
		if e.Kind != unstable.KeyValue {
			header = base
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func item(path string, index int) string { return path + "[" + strconv.Itoa(index) + "]" }

// wrong adds a problem with what is at path.
func (d *document) wrong(path, format string, args ...any) {
	line := 0
	for at := path; line == 0 && at != ""; {
		line = d.lines[at]
		at = at[:max(0, strings.LastIndexAny(at, ".["))]
	}
	d.problems = append(d.problems, Problem{d.file, max(line, 1), path, fmt.Sprintf(format, args...)})
}

// err returns the problems in the order of the lines; nil for none.
func (d *document) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
	return d.problems
}

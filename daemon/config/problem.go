package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a configuration file.
type Problem struct {
	File string
	// Line and Column count from 1; the column counts octets.
	Line, Column int
	// Key is the dotted name of what is wrong, without indexes; empty where
	// the file is not TOML.
	Key string
	// Message says what was expected.
	Message string
}

// Error returns file:line:column: key: message.
func (p Problem) Error() string {
	at := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Key != "" {
		at += p.Key + ": "
	}
	return at + p.Message
}

// Errors are all mistakes of a file, in the order of its lines.
type Errors []Problem

// Error returns one line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// place is where in the file a key stands.
type place struct {
	line, column int
	key          string
}

// problems collects mistakes.
type problems struct {
	file string
	list Errors
}

func (p *problems) add(at place, format string, args ...any) {
	p.list = append(p.list, Problem{
		File: p.file, Line: at.line, Column: at.column,
		Key: at.key, Message: fmt.Sprintf(format, args...),
	})
}

// onLine reports whether a mistake is known on that line.
func (p *problems) onLine(line int) bool {
	return slices.ContainsFunc(p.list, func(known Problem) bool { return known.Line == line })
}

// sorted returns the mistakes as an error; nil for none.
func (p *problems) sorted() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
	return p.list
}

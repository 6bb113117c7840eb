package disk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// errTrace: a line that is not as strace writes it.
var errTrace = errors.New("not a line of strace")

// call is one system call of a trace.
type call struct {
	name      string
	arguments []string
	// result is what it returned; below zero it failed.
	result int64
	// ended is false for one that the end of the process cut short.
	ended bool
}

// moment is the beginning or the end of a call, in the order of the trace.
type moment struct {
	call *call
	end  bool
}

// readCalls reads what strace -f -xx -o writes.
func readCalls(r io.Reader) ([]moment, error) {
	var moments []moment
	open := map[string]*call{}
	lines := bufio.NewReaderSize(r, 1<<20)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 && errors.Is(err, io.EOF) {
			return moments, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		moments, err = readLine(moments, open, string(bytes.TrimSpace(line)))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
}

func readLine(moments []moment, open map[string]*call, line string) ([]moment, error) {
	process, text, ok := strings.Cut(line, " ")
	text = strings.TrimLeft(text, " ")
	switch {
	case !ok || text == "":
		return nil, errTrace
	case strings.HasPrefix(text, "+++"), strings.HasPrefix(text, "---"):
		return moments, nil
	case strings.HasPrefix(text, "<... "):
		c := open[process]
		if c == nil {
			return nil, fmt.Errorf("%w: resumed without a beginning", errTrace)
		}
		delete(open, process)
		_, rest, _ := strings.Cut(text, " resumed>")
		if err := c.finish(rest); err != nil {
			return nil, err
		}
		return append(moments, moment{c, true}), nil
	}
	name, rest, ok := strings.Cut(text, "(")
	if !ok {
		return nil, errTrace
	}
	c := &call{name: name}
	moments = append(moments, moment{c, false})
	if begun, unfinished := strings.CutSuffix(rest, " <unfinished ...>"); unfinished {
		open[process] = c
		c.arguments = splitArguments(strings.TrimSuffix(begun, ","))
		return moments, nil
	}
	if err := c.finish(rest); err != nil {
		return nil, err
	}
	return append(moments, moment{c, true}), nil
}

// finish reads the rest of a call: more arguments, and the result.
func (c *call) finish(text string) error {
	at := strings.LastIndex(text, " = ")
	if at < 0 {
		return fmt.Errorf("%w: no result", errTrace)
	}
	rest := strings.TrimSpace(text[:at])
	rest, ok := strings.CutSuffix(rest, ")")
	if !ok {
		return fmt.Errorf("%w: no end of arguments", errTrace)
	}
	c.arguments = append(c.arguments, splitArguments(strings.TrimPrefix(rest, ", "))...)
	word, _, _ := strings.Cut(text[at+len(" = "):], " ")
	if word == "?" {
		c.result = -1 // it never returned, or is called again
		return nil
	}
	result, err := strconv.ParseInt(word, 0, 64)
	if err != nil {
		return fmt.Errorf("%w: result %q", errTrace, word)
	}
	c.result, c.ended = result, true
	return nil
}

// splitArguments splits at the commas outside of brackets. Strings are all in
// hexadecimal, so that no bracket is part of one.
func splitArguments(text string) []string {
	var arguments []string
	depth, start := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '[', '{', '(':
			depth++
		case ']', '}', ')':
			depth--
		case ',':
			if depth == 0 {
				arguments = append(arguments, strings.TrimSpace(text[start:i]))
				start = i + 1
			}
		}
	}
	if last := strings.TrimSpace(text[start:]); last != "" {
		arguments = append(arguments, last)
	}
	return arguments
}

func (c *call) argument(i int) string {
	if i < len(c.arguments) {
		return c.arguments[i]
	}
	return ""
}

func (c *call) number(i int) (int64, error) {
	n, err := strconv.ParseInt(c.argument(i), 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %s: argument %d is %q", errTrace, c.name, i, c.argument(i))
	}
	return n, nil
}

// octets decodes all strings in an argument: one, or those of a vector.
func (c *call) octets(i int) ([]byte, error) {
	rest := c.argument(i)
	var all []byte
	for {
		_, after, found := strings.Cut(rest, `"`)
		if !found {
			return all, nil
		}
		text, after, found := strings.Cut(after, `"`)
		if !found || strings.HasPrefix(after, "...") {
			return nil, fmt.Errorf("%w: %s: a string is cut off", errTrace, c.name)
		}
		var err error
		if all, err = appendOctets(all, text); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		rest = after
	}
}

// appendOctets decodes \x00\x01...
func appendOctets(b []byte, text string) ([]byte, error) {
	for ; len(text) >= 4; text = text[4:] {
		high, low := digit(text[2]), digit(text[3])
		if text[0] != '\\' || text[1] != 'x' || high > 15 || low > 15 {
			break
		}
		b = append(b, high<<4|low)
	}
	if text != "" {
		return nil, fmt.Errorf("%w: string ends in %q", errTrace, text[:min(8, len(text))])
	}
	return b, nil
}

func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

package suppress

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Format is how a list is written down.
type Format string

const (
	// CSV has a line of column names, or is one column of addresses without.
	CSV Format = "csv"
	// JSONLines has an Entry a line.
	JSONLines Format = "json"
)

// ParseFormat reads csv or json.
func ParseFormat(text string) (Format, error) {
	switch f := Format(strings.ToLower(text)); f {
	case CSV, JSONLines:
		return f, nil
	}
	return "", fmt.Errorf("%q is neither csv nor json", text)
}

// Writer writes entries down.
type Writer struct {
	csv  *csv.Writer
	json *json.Encoder
	out  *bufio.Writer
}

// columns of a CSV list, in the order in which they are written.
func columns() []string { return []string{"address", "hash", "reason", "stream", "time", "expires"} }

// NewWriter writes to w; Flush must follow.
func NewWriter(w io.Writer, format Format) (*Writer, error) {
	out := bufio.NewWriterSize(w, 64<<10)
	if format == JSONLines {
		return &Writer{json: json.NewEncoder(out), out: out}, nil
	}
	writer := &Writer{csv: csv.NewWriter(out), out: out}
	return writer, writer.csv.Write(columns())
}

// Write adds an entry.
func (w *Writer) Write(e *Entry) error {
	if w.json != nil {
		return w.json.Encode(e)
	}
	return w.csv.Write([]string{
		e.Address.String(), e.Hash.String(), string(e.Reason), e.Stream, stamp(e.Time), stamp(e.Expires),
	})
}

// Flush hands on what is buffered.
func (w *Writer) Flush() error {
	if w.csv != nil {
		w.csv.Flush()
		if err := w.csv.Error(); err != nil {
			return err
		}
	}
	return w.out.Flush()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// ErrFormat: a list that cannot be read at all.
var ErrFormat = errors.New("not a list of suppressions")

// maxLine bounds a line of a list.
const maxLine = 64 << 10

// reader reads a list, line by line, so that a bad line costs itself alone.
type reader struct {
	lines *bufio.Scanner
	// parse reads an entry out of a line.
	parse func(line []byte) (Entry, error)
	line  int
	// pending is a first line that was no heading.
	pending []byte
}

func newReader(r io.Reader, format Format) (*reader, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxLine), maxLine)
	list := &reader{lines: lines, parse: parseJSON}
	if format == JSONLines {
		return list, nil
	}
	list.parse = parseAddress
	first, err := list.next()
	first = bytes.TrimPrefix(first, []byte("\ufeff"))
	switch {
	case errors.Is(err, io.EOF):
		return list, nil
	case err != nil:
		return nil, err
	case bytes.IndexByte(first, ',') < 0 && !isColumn(string(first)):
		list.pending = bytes.Clone(first)
		return list, nil
	}
	list.parse, err = parseColumns(first)
	return list, err
}

// next returns the next line that is not empty, without its end; it is good
// until the next call. The error is io.EOF at the end.
func (l *reader) next() ([]byte, error) {
	if first := l.pending; first != nil {
		l.pending = nil
		return first, nil
	}
	for l.lines.Scan() {
		l.line++
		if line := bytes.TrimSpace(l.lines.Bytes()); len(line) > 0 {
			return line, nil
		}
	}
	switch err := l.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%w: line %d is longer than %d octets", ErrFormat, l.line+1, maxLine)
	case err != nil:
		return nil, err
	}
	return nil, io.EOF
}

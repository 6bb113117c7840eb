package mimetree

import (
	"bytes"
	"fmt"
	"strings"
)

// Field is one header field with its folds, as offsets in the message.
type Field struct {
	// Start is the first octet of the name.
	Start int
	// Colon is the offset of the colon.
	Colon int
	// End is behind the field's last line break.
	End int
}

// Header is a block of header fields inside a message.
type Header struct {
	message []byte
	// Start is where fields may be put at the top: behind an mbox From line.
	Start int
	// End is behind the last field, before the empty line.
	End    int
	Fields []Field
}

// Name returns the field's name as written.
func (h *Header) Name(f Field) []byte { return h.message[f.Start:f.Colon] }

// Raw returns what follows the colon, folds and line break included.
func (h *Header) Raw(f Field) []byte { return h.message[f.Colon+1 : f.End] }

// Value returns the field's value, unfolded (RFC 5322 section 2.2.3) and
// trimmed.
func (h *Header) Value(f Field) string {
	return strings.Trim(strings.NewReplacer("\r\n", "", "\n", "").Replace(string(h.Raw(f))), " \t")
}

// Find returns all fields of a name, in any case.
func (h *Header) Find(name string) []Field {
	var found []Field
	for _, f := range h.Fields {
		if f.Colon-f.Start == len(name) && strings.EqualFold(string(h.Name(f)), name) {
			found = append(found, f)
		}
	}
	return found
}

// only returns the value of a field that may occur once. Readers take the first
// or the last of several, so differing ones are malformed.
func (h *Header) only(name string) (string, error) {
	found := h.Find(name)
	if len(found) == 0 {
		return "", nil
	}
	value := h.Value(found[0])
	for _, other := range found[1:] {
		if h.Value(other) != value {
			return "", fmt.Errorf("%w: several %s fields", ErrMalformed, name)
		}
	}
	return value, nil
}

// parseHeader reads fields from start up to an empty line or end, and returns
// where the body begins.
func parseHeader(message []byte, start, end int) (*Header, int, error) {
	h := &Header{message: message, Start: start}
	for at := start; ; {
		line := lineEnd(message, at, end)
		if at == end || isEmptyLine(message[at:line]) {
			h.End = at
			return h, line, nil
		}
		if err := h.add(at, line); err != nil {
			return nil, 0, err
		}
		at = line
	}
}

func (h *Header) add(at, end int) error {
	line := h.message[at:end]
	if line[0] == ' ' || line[0] == '\t' {
		if len(h.Fields) == 0 {
			return fmt.Errorf("%w: the header begins with a continuation line", ErrMalformed)
		}
		h.Fields[len(h.Fields)-1].End = end
		return nil
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || !isFieldName(line[:colon]) {
		return fmt.Errorf("%w: a header line is no field", ErrMalformed)
	}
	h.Fields = append(h.Fields, Field{at, at + colon, end})
	return nil
}

// isFieldName allows what RFC 5322 section 3.6.8 does.
func isFieldName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// lineEnd returns the offset behind the line break that follows at.
func lineEnd(message []byte, at, end int) int {
	if i := bytes.IndexByte(message[at:end], '\n'); i >= 0 {
		return at + i + 1
	}
	return end
}

func isEmptyLine(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

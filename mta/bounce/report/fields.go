package report

import (
	"bytes"
	"mime"
	"slices"
	"strings"
)

// Field is one header field, unfolded.
type Field struct{ Name, Value string }

// Fields are those of one header in their order.
type Fields []Field

// Get returns the first field of that name; empty when there is none.
func (f Fields) Get(name string) string {
	for _, field := range f {
		if strings.EqualFold(field.Name, name) {
			return field.Value
		}
	}
	return ""
}

// Text is Get with the encoded words of the field decoded, whatever their
// character set (RFC 2047).
func (f Fields) Text(name string) string {
	value := f.Get(name)
	decoder := mime.WordDecoder{CharsetReader: charsetReader}
	if decoded, err := decoder.DecodeHeader(value); err == nil {
		return decoded
	}
	return value
}

// All returns every field of that name.
func (f Fields) All(name string) []string {
	var values []string
	for _, field := range f {
		if strings.EqualFold(field.Name, name) {
			values = append(values, field.Value)
		}
	}
	return values
}

// Has reports whether there is a field of that name, be it empty.
func (f Fields) Has(name string) bool {
	for _, field := range f {
		if strings.EqualFold(field.Name, name) {
			return true
		}
	}
	return false
}

// readFields reads header fields up to an empty line and returns what is
// behind it. A line that is no field (mbox's From, words between fields) is
// passed over: it must not take the rest down with it.
func readFields(text []byte) (fields Fields, rest []byte) {
	var name string
	var value []byte
	flush := func() {
		if name != "" && len(fields) < maxFields {
			fields = append(fields, Field{name, limit(clean(value), maxValue)})
		}
		name, value = "", nil
	}
	for len(text) > 0 {
		var line []byte
		line, text = cutLine(text)
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			if name != "" && len(value) < maxValue {
				value = append(append(value, ' '), bytes.TrimSpace(line)...)
			}
		} else if found, content, ok := cutField(line); ok {
			flush()
			name, value = found, slices.Clone(bytes.TrimSpace(content))
		}
	}
	flush()
	return fields, text
}

// cutField splits a line at the colon behind a field name (RFC 5322 section
// 2.2); white space before the colon is let pass.
func cutField(line []byte) (name string, value []byte, ok bool) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return "", nil, false
	}
	trimmed := bytes.TrimRight(line[:colon], " \t")
	for _, c := range trimmed {
		if c <= ' ' || c > '~' {
			return "", nil, false
		}
	}
	return string(trimmed), line[colon+1:], len(trimmed) > 0
}

// cutLine takes one line off the front, without its line break.
func cutLine(text []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(text, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), rest
}

// clean makes text of a stranger safe to keep: valid UTF-8 without control
// characters, and without white space around it.
func clean(text []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(text), "\ufffd")))
}

// limit cuts text to n octets without splitting a character.
func limit(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "")
}

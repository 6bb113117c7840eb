package submission

import (
	"bytes"
	"strings"

	"github.com/emersion/go-smtp"
)

// What a header may hold. Real ones have dozens of fields.
const (
	maxFields   = 1000
	maxHeader   = 512 << 10
	maxReceived = 100
)

// field is one header field of a message (RFC 5322 section 2.2).
type field struct {
	name  []byte // as written
	value []byte // behind the colon, folded, without the last CRLF
	raw   []byte // all of it
}

func (f field) is(name string) bool {
	return len(f.name) == len(name) && bytes.EqualFold(f.name, []byte(name))
}

// unfolded is the value on one line (RFC 5322 section 2.2.3).
func (f field) unfolded() string {
	return string(bytes.TrimSpace(bytes.ReplaceAll(f.value, []byte("\r\n"), nil)))
}

// header is the part of a message before its content.
type header struct {
	fields []field
	// content begins behind the empty line, or at the first line that is no
	// field where the empty line is missing.
	content []byte
}

// parseHeader splits a message whose lines end in CRLF. A line that is neither
// a field nor its continuation begins the content, so that all who read the
// result agree on where that is; an mbox line in front is left out.
func parseHeader(message []byte) (header, error) {
	h := header{fields: make([]field, 0, 24)}
	rest := dropMailboxLine(message)
	for len(rest) > 0 {
		end := fieldEnd(rest)
		raw := rest[:end]
		if string(raw) == "\r\n" {
			h.content = rest[2:]
			return h, nil
		}
		f, ok := parseField(raw)
		if !ok {
			break
		}
		h.fields = append(h.fields, f)
		rest = rest[end:]
		if len(h.fields) > maxFields || len(message)-len(rest) > maxHeader {
			return h, badHeader("more than %d fields or %d octets of header", maxFields, maxHeader)
		}
	}
	h.content = rest
	return h, nil
}

func badHeader(format string, args ...any) *refusal {
	return refuse(550, smtp.EnhancedCode{5, 6, 0}, reasonHeader, format, args...)
}

// fieldEnd returns where the line and its continuations end.
func fieldEnd(s []byte) int {
	end := 0
	for {
		i := bytes.IndexByte(s[end:], '\n')
		if i < 0 {
			return len(s)
		}
		end += i + 1
		if end == len(s) || end <= 2 || s[end] != ' ' && s[end] != '\t' {
			return end
		}
	}
}

// parseField allows white space before the colon, as RFC 5322 section 4.5 does.
func parseField(raw []byte) (field, bool) {
	colon := bytes.IndexByte(raw, ':')
	if colon <= 0 {
		return field{}, false
	}
	name := bytes.TrimRight(raw[:colon], " \t")
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return field{}, false
		}
	}
	value := bytes.TrimSuffix(raw[colon+1:], []byte("\r\n"))
	return field{name: name, value: value, raw: raw}, len(name) > 0
}

func dropMailboxLine(message []byte) []byte {
	line := message[:fieldEnd(message)]
	if !bytes.HasPrefix(line, []byte("From ")) && !bytes.HasPrefix(line, []byte(">From ")) {
		return message
	}
	if _, ok := parseField(line); ok {
		return message
	}
	return message[bytes.IndexByte(message, '\n')+1:]
}

// has reports a field that is not empty.
func (h header) has(name string) bool {
	for _, f := range h.fields {
		if f.is(name) && len(bytes.TrimSpace(f.value)) > 0 {
			return true
		}
	}
	return false
}

// waivesTLS reports TLS-Required: No (RFC 8689 section 5).
func (h header) waivesTLS() bool {
	for _, f := range h.fields {
		if f.is("TLS-Required") {
			return strings.EqualFold(strings.TrimSpace(f.unfolded()), "No")
		}
	}
	return false
}

func (h header) count(name string) int {
	n := 0
	for _, f := range h.fields {
		if f.is(name) {
			n++
		}
	}
	return n
}

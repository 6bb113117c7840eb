package submission

import (
	"bytes"
	"errors"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// maxComments is how deep comments may be nested.
const maxComments = 16

// errMailboxes is about the syntax of an address list.
var errMailboxes = errors.New("it is no list of mailboxes")

// parseMailboxes reads the address list of From or Sender (RFC 5322 section
// 3.4), groups and the obsolete forms included. Whoever reads the field
// otherwise must not find a mailbox that is not returned: what could be read
// in two ways is an error, such as an @ in a display name without quotes.
func parseMailboxes(value string) ([]mail.Address, error) {
	l := mailboxList{rest: value}
	for l.rest != "" {
		if err := l.step(); err != nil {
			return nil, err
		}
	}
	if l.group {
		return nil, errMailboxes
	}
	err := l.end()
	return l.found, err
}

// mailboxList is the state between two tokens.
type mailboxList struct {
	rest  string
	text  []byte // tokens of the element so far, outside comments and <>
	angle string // what was in <>
	bound bool   // there was <>
	group bool   // inside name: ... ;
	found []mail.Address
}

func (l *mailboxList) step() error {
	c := l.rest[0]
	switch c {
	case '(':
		return l.comment()
	case '"':
		return l.quoted()
	case '<':
		return l.route()
	case ',':
		l.rest = l.rest[1:]
		return l.end()
	case ':':
		if l.group || l.bound || bytes.IndexByte(l.text, '@') >= 0 {
			return errMailboxes
		}
		l.group, l.text, l.rest = true, nil, l.rest[1:]
		return nil
	case ';':
		if !l.group {
			return errMailboxes
		}
		l.group, l.rest = false, l.rest[1:]
		return l.end()
	}
	n := plainRun(l.rest)
	if n == 0 {
		return errMailboxes
	}
	l.text, l.rest = append(l.text, l.rest[:n]...), l.rest[n:]
	return nil
}

// plainRun counts the octets in front of the next one that means something.
func plainRun(s string) int {
	for i := range len(s) {
		c := s[i]
		if c < ' ' && c != '\t' || c == 0x7f || strings.IndexByte(`()<>\",:;`, c) >= 0 {
			return i
		}
	}
	return len(s)
}

func (l *mailboxList) comment() error {
	depth := 0
	for i := 0; i < len(l.rest); i++ {
		switch l.rest[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth > maxComments {
			return errMailboxes
		}
		if depth == 0 {
			l.text, l.rest = append(l.text, ' '), l.rest[i+1:]
			return nil
		}
	}
	return errMailboxes
}

func (l *mailboxList) quoted() error {
	end := quotedEnd(l.rest)
	if end < 0 {
		return errMailboxes
	}
	l.text, l.rest = append(l.text, l.rest[:end]...), l.rest[end:]
	return nil
}

// quotedEnd returns where the quoted-string that s begins with ends, or -1.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

func (l *mailboxList) route() error {
	if l.bound {
		return errMailboxes
	}
	inner := l.rest[1:]
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case '"':
			end := quotedEnd(inner[i:])
			if end < 0 {
				return errMailboxes
			}
			i += end - 1
		case '<', '(', ',':
			return errMailboxes
		case '>':
			l.angle, l.rest, l.bound = inner[:i], inner[i+1:], true
			if unquotedAt(string(l.text)) {
				return errMailboxes
			}
			l.text = l.text[:0]
			return nil
		}
	}
	return errMailboxes
}

// end closes an element; empty ones are allowed (RFC 5322 section 4.4).
func (l *mailboxList) end() error {
	spec := strings.TrimSpace(string(l.text))
	switch {
	case l.bound && spec != "":
		return errMailboxes
	case l.bound:
		spec = strings.TrimSpace(l.angle)
	case spec == "":
		return nil
	}
	address, err := mail.ParseAddress(tighten(spec))
	if err != nil {
		return errMailboxes
	}
	l.found = append(l.found, address)
	l.text, l.angle, l.bound = l.text[:0], "", false
	return nil
}

// tighten removes the white space around dots and the @ that the obsolete
// syntax allows, and no other, which would join words.
func tighten(spec string) string {
	if strings.HasPrefix(spec, `"`) || !strings.ContainsAny(spec, " \t") {
		return spec
	}
	var b strings.Builder
	for i := 0; i < len(spec); i++ {
		if c := spec[i]; c != ' ' && c != '\t' {
			b.WriteByte(c)
			continue
		}
		end := i
		for end < len(spec) && (spec[end] == ' ' || spec[end] == '\t') {
			end++
		}
		if !strings.ContainsRune(".@", rune(spec[i-1])) && !strings.ContainsRune(".@", rune(spec[end])) {
			b.WriteByte(' ')
		}
		i = end - 1
	}
	return b.String()
}

func unquotedAt(phrase string) bool {
	for i := 0; i < len(phrase); i++ {
		switch phrase[i] {
		case '"':
			i += max(0, quotedEnd(phrase[i:])-1)
		case '@':
			return true
		}
	}
	return false
}

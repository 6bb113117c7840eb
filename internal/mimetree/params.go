package mimetree

import "strings"

// structured reads the value of Content-Type or Content-Disposition (RFC 2045
// section 5.1): a word, then attribute=value pairs, comments allowed between
// them.
type structured struct {
	rest string
}

// param is one attribute=value pair; the name in lower case.
type param struct{ name, value string }

// parseStructured returns the leading word in lower case and the parameters. It
// takes what it can: ok is false when something did not follow the grammar.
func parseStructured(value string) (word string, params []param, ok bool) {
	s := structured{value}
	word = strings.ToLower(s.word())
	ok = true
	for {
		s.space()
		if s.rest == "" {
			return word, params, ok
		}
		if s.rest[0] != ';' {
			ok = false
			s.skip()
			continue
		}
		s.rest = s.rest[1:]
		s.space()
		if s.rest == "" || s.rest[0] == ';' {
			continue
		}
		p, good := s.param()
		if !good {
			ok = false
			continue
		}
		params = append(params, p)
	}
}

// skip drops what cannot be read, up to the next semicolon.
func (s *structured) skip() {
	if i := strings.IndexByte(s.rest, ';'); i >= 0 {
		s.rest = s.rest[i:]
		return
	}
	s.rest = ""
}

func (s *structured) param() (param, bool) {
	name := strings.ToLower(s.token())
	s.space()
	if name == "" || !strings.HasPrefix(s.rest, "=") {
		s.skip()
		return param{}, false
	}
	s.rest = s.rest[1:]
	s.space()
	if strings.HasPrefix(s.rest, `"`) {
		value, ok := s.quoted()
		return param{name, value}, ok
	}
	return param{name, s.bare()}, true
}

// space skips white space and comments (RFC 5322 section 3.2.2).
func (s *structured) space() {
	depth := 0
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			i++
		case depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n':
			s.rest = s.rest[i:]
			return
		}
	}
	s.rest = ""
}

// word reads type/subtype or a disposition.
func (s *structured) word() string {
	s.space()
	end := strings.IndexAny(s.rest, ";(")
	if end < 0 {
		end = len(s.rest)
	}
	word := s.rest[:end]
	s.rest = s.rest[end:]
	return strings.TrimSpace(word)
}

func (s *structured) token() string {
	end := strings.IndexAny(s.rest, " \t\r\n;=(\"")
	if end < 0 {
		end = len(s.rest)
	}
	token := s.rest[:end]
	s.rest = s.rest[end:]
	return token
}

// bare reads an unquoted value. Many writers leave out the quotes that
// characters such as = would need, so only space, semicolon and comment end it.
func (s *structured) bare() string {
	end := strings.IndexAny(s.rest, " \t\r\n;(")
	if end < 0 {
		end = len(s.rest)
	}
	value := s.rest[:end]
	s.rest = s.rest[end:]
	return value
}

func (s *structured) quoted() (string, bool) {
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(s.rest):
			i++
			b.WriteByte(s.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	s.rest = ""
	return b.String(), false
}

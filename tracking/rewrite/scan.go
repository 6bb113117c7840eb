package rewrite

import "bytes"

// kind is what a piece of HTML is.
type kind uint8

const (
	kindText kind = iota
	// kindRaw is the text of an element whose content is not markup.
	kindRaw
	kindStart
	kindEnd
	kindComment
	kindDoctype
	// kindBroken is a tag that the content ends in.
	kindBroken
)

// piece is one token of HTML; pieces follow each other without gaps.
type piece struct {
	kind       kind
	start, end int
	// name is that of a tag, or of the element around raw text, as written.
	name []byte
	// closed reports that a comment, or raw text, ended before the content did.
	closed bool
}

// scanner takes HTML apart as the HTML5 tokeniser does (WHATWG HTML section
// 13.2.5), without copying.
type scanner struct {
	content []byte
	at      int
	// raw is the element whose text comes next.
	raw []byte
}

func (s *scanner) next() (p piece, ok bool) {
	if s.raw != nil {
		name := s.raw
		s.raw = nil
		if end, closed := rawEnd(s.content, s.at, name); end > s.at {
			return s.emit(piece{kind: kindRaw, end: end, name: name, closed: closed}), true
		}
	}
	if s.at == len(s.content) {
		return piece{}, false
	}
	if p, ok := s.markup(s.at); ok {
		return s.emit(p), true
	}
	return s.emit(piece{kind: kindText, end: s.textEnd()}), true
}

func (s *scanner) emit(p piece) piece {
	p.start = s.at
	s.at = p.end
	return p
}

// textEnd is where the next markup begins.
func (s *scanner) textEnd() int {
	for at := s.at + 1; ; at++ {
		i := bytes.IndexByte(s.content[min(at, len(s.content)):], '<')
		if i < 0 {
			return len(s.content)
		}
		at += i
		if opensMarkup(s.content[at:]) {
			return at
		}
	}
}

// opensMarkup reports whether b, which begins with <, is more than text.
func opensMarkup(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	c := b[1]
	return c == '!' || c == '?' || isLetter(c) || c == '/' && len(b) > 2
}

// markup reads the tag, comment or declaration at the offset.
func (s *scanner) markup(at int) (piece, bool) {
	b := s.content[at:]
	if b[0] != '<' || !opensMarkup(b) {
		return piece{}, false
	}
	switch c := b[1]; {
	case isLetter(c):
		return s.tag(kindStart, at+1), true
	case c == '/' && isLetter(b[2]):
		return s.tag(kindEnd, at+2), true
	case bytes.HasPrefix(b, []byte("<!--")):
		end, closed := commentEnd(s.content, at+4)
		return piece{kind: kindComment, end: end, closed: closed}, true
	}
	end, closed := len(s.content), false
	if i := bytes.IndexByte(b[2:], '>'); i >= 0 {
		end, closed = at+2+i+1, true
	}
	if len(b) >= 9 && bytes.EqualFold(b[2:9], []byte("doctype")) {
		return piece{kind: kindDoctype, end: end, closed: closed}, true
	}
	return piece{kind: kindComment, end: end, closed: closed}, true
}

// tag reads a tag whose name begins at the offset.
func (s *scanner) tag(k kind, at int) piece {
	nameEnd := at
	for nameEnd < len(s.content) && !endsName(s.content[nameEnd]) {
		nameEnd++
	}
	name := s.content[at:nameEnd]
	attributes := attributes{content: s.content, at: nameEnd}
	for attributes.next() {
	}
	if !attributes.closed {
		return piece{kind: kindBroken, end: len(s.content)}
	}
	if k == kindStart && holdsRawText(name) {
		s.raw = name
	}
	return piece{kind: k, end: attributes.at, name: name, closed: true}
}

// commentEnd finds the end of a comment whose text begins at the offset: -->
// or --!>, or > or -> at once.
func commentEnd(content []byte, at int) (end int, closed bool) {
	text := content[at:]
	switch {
	case bytes.HasPrefix(text, []byte(">")):
		return at + 1, true
	case bytes.HasPrefix(text, []byte("->")):
		return at + 2, true
	}
	for from := 0; ; {
		i := bytes.Index(text[from:], []byte("--"))
		if i < 0 {
			return len(content), false
		}
		from += i + 1
		switch rest := text[from+1:]; {
		case bytes.HasPrefix(rest, []byte(">")):
			return at + from + 2, true
		case bytes.HasPrefix(rest, []byte("!>")):
			return at + from + 3, true
		}
	}
}

// is compares a tag name with one in lower case.
func is(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}

func holdsRawText(name []byte) bool {
	switch name[0] | 0x20 {
	case 'i':
		return is(name, "iframe")
	case 'n':
		return is(name, "noembed") || is(name, "noframes") || is(name, "noscript")
	case 'p':
		return is(name, "plaintext")
	case 's':
		return is(name, "script") || is(name, "style")
	case 't':
		return is(name, "textarea") || is(name, "title")
	case 'x':
		return is(name, "xmp")
	}
	return false
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' }

func endsName(c byte) bool { return isSpace(c) || c == '/' || c == '>' }

package rewrite

import "bytes"

// attribute is one attribute of a tag, as offsets in the content.
type attribute struct {
	// before is where the white space in front of it begins.
	before int
	// nameStart and nameEnd delimit the name.
	nameStart, nameEnd int
	// start and end delimit the value without its quotes.
	start, end int
	// after is behind the value and its quotes.
	after int
	// quote is the quotation mark, or 0.
	quote byte
}

// attributes walks the attributes of a tag from behind its name, as the HTML5
// tokeniser does.
type attributes struct {
	content []byte
	at      int
	// closed reports that the tag's > was read.
	closed bool
	attribute
}

// next reads one attribute; an empty name stands for a stray slash. It returns
// false behind the tag or at the end of the content.
func (a *attributes) next() bool {
	a.attribute = attribute{before: a.at}
	a.space()
	if a.at == len(a.content) {
		return false
	}
	if a.content[a.at] == '>' {
		a.at++
		a.closed = true
		return false
	}
	a.name()
	a.start, a.end, a.after = a.nameEnd, a.nameEnd, a.nameEnd
	a.value()
	return true
}

func (a *attributes) space() {
	for a.at < len(a.content) && isSpace(a.content[a.at]) {
		a.at++
	}
}

func (a *attributes) name() {
	a.nameStart = a.at
	for ; a.at < len(a.content); a.at++ {
		c := a.content[a.at]
		if endsName(c) || c == '=' && a.at > a.nameStart {
			break
		}
	}
	a.nameEnd = a.at
}

func (a *attributes) value() {
	a.space()
	if a.at == len(a.content) {
		return
	}
	if a.content[a.at] != '=' {
		if a.content[a.at] == '/' {
			a.at++
		}
		return
	}
	a.at++
	a.space()
	if a.at == len(a.content) {
		return
	}
	switch c := a.content[a.at]; c {
	case '>':
		a.after = a.at
	case '"', '\'':
		a.quoted(c)
	default:
		a.unquoted()
	}
}

func (a *attributes) quoted(quote byte) {
	a.quote = quote
	a.start = a.at + 1
	i := bytes.IndexByte(a.content[a.start:], quote)
	if i < 0 {
		a.at, a.end, a.after = len(a.content), len(a.content), len(a.content)
		return
	}
	a.end = a.start + i
	a.at = a.end + 1
	a.after = a.at
}

func (a *attributes) unquoted() {
	a.start = a.at
	for a.at < len(a.content) && a.content[a.at] != '>' && !isSpace(a.content[a.at]) {
		a.at++
	}
	a.end, a.after = a.at, a.at
}

// named compares the attribute's name with one in lower case.
func (a *attributes) named(want string) bool { return is(a.content[a.nameStart:a.nameEnd], want) }

// text is the value as written.
func (a *attributes) text() []byte { return a.content[a.start:a.end] }

package mimetree

import "bytes"

// maxQuoted is the longest encoded line, the equals sign of a soft line break
// included (RFC 2045 section 6.7).
const maxQuoted = 76

// Quoter appends quoted-printable to Out and knows the column it is at.
type Quoter struct {
	Out []byte
	// LineBreak is CRLF or LF: what the rest of the message uses.
	LineBreak string
}

// column is how many characters the last line of Out has.
func (q *Quoter) column() int { return len(q.Out) - 1 - bytes.LastIndexByte(q.Out, '\n') }

// Inline appends content, of which no octet is a line break to be kept as one.
// A soft line break goes before whatever would not fit.
func (q *Quoter) Inline(content []byte) {
	column := q.column()
	for _, c := range content {
		column = q.octet(c, column, false)
	}
}

// endLine escapes white space at the end of Out, where a line break follows.
func (q *Quoter) endLine() {
	if n := len(q.Out); n > 0 && (q.Out[n-1] == ' ' || q.Out[n-1] == '\t') {
		c := q.Out[n-1]
		q.Out = q.Out[:n-1]
		q.octet(c, q.column(), true)
	}
}

// Fits makes room for the given number of characters that follow on this line.
func (q *Quoter) Fits(following int) {
	if column := q.column(); following > 0 && column+following > maxQuoted {
		q.soft(column)
	}
}

// Text appends content whose line breaks, where they are LineBreak, stay line
// breaks.
func (q *Quoter) Text(content []byte) {
	column := q.column()
	for at := 0; at < len(content); at++ {
		if bytes.HasPrefix(content[at:], []byte(q.LineBreak)) {
			q.Out = append(q.Out, q.LineBreak...)
			at += len(q.LineBreak) - 1
			column = 0
			continue
		}
		rest := content[at+1:]
		atEnd := len(rest) == 0 || bytes.HasPrefix(rest, []byte(q.LineBreak))
		column = q.octet(content[at], column, atEnd)
	}
}

// octet appends one octet. White space at the end of a line is escaped, since
// transports drop it.
func (q *Quoter) octet(c byte, column int, atEnd bool) int {
	literal := c > ' ' && c < 0x7f && c != '=' || (c == ' ' || c == '\t') && !atEnd
	size := 3
	if literal {
		size = 1
	}
	if column+size > maxQuoted-1 {
		column = q.soft(column)
	}
	if literal {
		q.Out = append(q.Out, c)
	} else {
		const digits = "0123456789ABCDEF"
		q.Out = append(q.Out, '=', digits[c>>4], digits[c&15])
	}
	return column + size
}

// soft appends a soft line break and returns the new column. A line that is full
// already leaves no room for the equals sign: its last character moves down.
func (q *Quoter) soft(column int) int {
	end := len(q.Out)
	if column > maxQuoted-1 {
		end--
		if end >= 2 && q.Out[end-2] == '=' {
			end -= 2
		}
	}
	var moved [3]byte
	n := copy(moved[:], q.Out[end:])
	q.Out = append(q.Out[:end], '=')
	q.Out = append(q.Out, q.LineBreak...)
	q.Out = append(q.Out, moved[:n]...)
	return n
}

// LineBreak returns the line break that content uses first: CRLF where there is
// none.
func LineBreak(content []byte) string {
	if i := bytes.IndexByte(content, '\n'); i == 0 || i > 0 && content[i-1] != '\r' {
		return "\n"
	}
	return "\r\n"
}

package rewrite

import (
	"bytes"
	"strings"

	"github.com/postrider-mta/postrider/internal/mimetree"
)

// extend adds parameters to a link that is not replaced. All that its author
// wrote stays as it is written: the addition goes between the query and the
// fragment.
func (l *linker) extend(found link, address string) (mimetree.Edit, bool) {
	_, addition := l.options.Parameters.addition(address)
	raw := l.content[found.start:found.end]
	at, ok := l.fragment(raw)
	if addition == "" || !ok {
		l.report(Link{URL: address})
		return mimetree.Edit{}, false
	}
	l.result.Extended++
	extended := l.options.Parameters.add(address)
	l.report(Link{URL: address, Replacement: extended})
	written := escape(addition, found.quote)
	if found.quote != 0 {
		return mimetree.Edit{Start: found.start + at, End: found.start + at, New: []byte(written)}, true
	}
	// An ampersand and an equals sign want quotes around them.
	quote := `"`
	if bytes.IndexByte(raw, '"') >= 0 {
		quote = "'"
	}
	whole := quote + string(raw[:at]) + written + string(raw[at:]) + quote
	return mimetree.Edit{Start: found.start, End: found.end, New: []byte(whole)}, true
}

// fragment finds where, in a value as written, the URL's fragment begins or the
// URL ends, and false where a reference hides it.
func (l *linker) fragment(raw []byte) (int, bool) {
	at := len(bytes.TrimRight(raw, " \t\r\n\f"))
	for i, c := range raw[:at] {
		if c == '#' && (i == 0 || raw[i-1] != '&') {
			at = i
			break
		}
	}
	whole, ok := l.href(raw)
	if !ok {
		return 0, false
	}
	before, ok := l.href(raw[:at])
	want, _, _ := strings.Cut(clean(whole), "#")
	bothQuotes := bytes.IndexByte(raw, '"') >= 0 && bytes.IndexByte(raw, '\'') >= 0
	return at, ok && clean(before) == want && !bothQuotes
}

package rewrite

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/internal/mimetree"
)

// linker replaces the links of one document.
type linker struct {
	*rewriter
	content []byte
	charset string
	base    string
}

// edits returns what changes in the content, in order.
func (l *linker) edits(found survey) ([]mimetree.Edit, error) {
	if l.options.Link == nil {
		return nil, nil
	}
	if base, ok := l.href(found.base); ok && isWeb(clean(base)) && !hasMarks(base) {
		l.base = clean(base)
	}
	edits := make([]mimetree.Edit, 0, len(found.links)+len(found.optOuts)+1)
	for _, link := range found.links {
		edit, ok, err := l.replace(link)
		if err != nil {
			return nil, err
		}
		if ok {
			edits = append(edits, edit)
		}
	}
	edits = append(edits, found.optOuts...)
	slices.SortFunc(edits, func(a, b mimetree.Edit) int { return cmp.Compare(a.Start, b.Start) })
	return edits, nil
}

// href decodes an attribute's value.
func (l *linker) href(raw []byte) (string, bool) {
	value, ok := text(raw, l.charset)
	if !ok {
		return "", false
	}
	return unescape(value), true
}

// replace returns the edit for one link, or false to leave it alone.
func (l *linker) replace(found link) (mimetree.Edit, bool, error) {
	address, ok := l.address(found)
	if !ok {
		return mimetree.Edit{}, false, nil
	}
	if found.off || l.kept(address) {
		l.result.Kept++
		return mimetree.Edit{}, false, nil
	}
	replacement, err := l.options.Link(address)
	switch {
	case errors.Is(err, ErrKeep):
		l.result.Kept++
		return mimetree.Edit{}, false, nil
	case err != nil:
		return mimetree.Edit{}, false, fmt.Errorf("%w: %w", ErrLink, err)
	case !isWeb(replacement) || !isASCII(replacement) || strings.ContainsFunc(replacement, func(r rune) bool { return r <= ' ' }):
		return mimetree.Edit{}, false, fmt.Errorf("%w: it is no URL in ASCII", ErrLink)
	}
	l.result.Links++
	return mimetree.Edit{Start: found.start, End: found.end, New: quoted(replacement, found)}, true, nil
}

// address returns where the link leads, if that is a place on the web.
func (l *linker) address(found link) (string, bool) {
	value, ok := l.href(l.content[found.start:found.end])
	if !ok {
		return "", false
	}
	address, ok := target(value, l.base)
	if !ok {
		return "", false
	}
	if _, query, found := strings.Cut(address, "?"); found && legacy(l.charset) && !isASCII(query) {
		return "", false
	}
	return address, true
}

// kept reports the URLs that must stay what they are.
func (l *linker) kept(address string) bool {
	return slices.Contains(l.keep, address) || slices.Contains(l.options.KeepHosts, host(address))
}

// quoted writes a replacement in the quotes of the value it replaces. Without
// quotes only what cannot be misread goes, and nothing inside a comment: two
// dashes at its end would close the comment.
func quoted(url string, found link) []byte {
	if found.quote != 0 {
		return []byte(escape(url, found.quote))
	}
	if !found.hidden && !strings.ContainsAny(url, "\"'`=<>&") {
		return []byte(url)
	}
	return []byte(`"` + escape(url, '"') + `"`)
}

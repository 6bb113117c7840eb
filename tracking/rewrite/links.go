package rewrite

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/mimetree"
)

// linker replaces the links of one document.
type linker struct {
	*rewriter
	content []byte
	charset string
	base    string
	// link is Options.Link, or TextLink for plain text.
	link func(url string) (string, error)
	text bool
}

// edits returns what changes in the content of an HTML part, in order.
func (l *linker) edits(found survey) ([]mimetree.Edit, error) {
	if !l.options.links() {
		return nil, nil
	}
	l.readBase(found)
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

func (l *linker) readBase(found survey) {
	if base, ok := l.href(found.base); ok && isWeb(clean(base)) && !hasMarks(base) {
		l.base = clean(base)
	}
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
	address, keep := l.address(found)
	if keep == "" {
		keep = l.kept(address, found.off)
	}
	if keep != "" {
		l.leave(address, found, keep)
		return mimetree.Edit{}, false, nil
	}
	if l.link == nil {
		edit, ok := l.extend(found, address)
		return edit, ok, nil
	}
	replacement, err := l.replacement(address)
	if errors.Is(err, ErrKeep) {
		l.leave(address, found, KeepAsked)
		return mimetree.Edit{}, false, nil
	}
	if err != nil {
		return mimetree.Edit{}, false, err
	}
	return mimetree.Edit{Start: found.start, End: found.end, New: quoted(replacement, found)}, true, nil
}

// replacement asks for what stands for an address, its parameters added.
func (l *linker) replacement(address string) (string, error) {
	extended := l.options.Parameters.add(address)
	replacement, err := l.link(extended)
	switch {
	case errors.Is(err, ErrKeep):
		return "", err
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrLink, err)
	case !isWeb(replacement) || !mail.IsASCII(replacement) || strings.ContainsFunc(replacement, func(r rune) bool { return r <= ' ' }):
		return "", fmt.Errorf("%w: it is no URL in ASCII", ErrLink)
	}
	l.result.Links++
	if len(extended) > len(address) {
		l.result.Extended++
	}
	l.report(Link{URL: extended, Replacement: replacement, Text: l.text})
	return replacement, nil
}

// leave counts and reports a link that stays what it is.
func (l *linker) leave(address string, found link, keep Keep) {
	if keep.web() {
		l.result.Kept++
	}
	if l.options.Report == nil {
		return
	}
	if address == "" {
		address = string(l.content[found.start:found.end])
	}
	l.report(Link{URL: address, Kept: keep, Text: l.text})
}

func (r *rewriter) report(link Link) {
	if r.options.Report != nil {
		r.options.Report(link)
	}
}

// address returns where the link leads, or why that is no place to be tracked.
func (l *linker) address(found link) (string, Keep) {
	value, ok := l.href(l.content[found.start:found.end])
	if !ok {
		return "", KeepCharset
	}
	address, keep := target(value, l.base)
	if keep != "" {
		return "", keep
	}
	if _, query, found := strings.Cut(address, "?"); found && legacy(l.charset) && !mail.IsASCII(query) {
		return "", KeepCharset
	}
	return address, ""
}

// kept says why a URL must stay what it is.
func (l *linker) kept(address string, off bool) Keep {
	switch {
	case off, l.text && slices.Contains(l.exempt, address):
		return KeepOptOut
	case slices.Contains(l.keep, address):
		return KeepUnsubscribe
	case slices.Contains(l.options.KeepHosts, host(address)):
		return KeepHost
	}
	return ""
}

// noteExempt notes the URLs that authors exempted.
func (r *rewriter) noteExempt(documents []*document) {
	for _, d := range documents {
		l := linker{rewriter: r, content: d.content.Bytes, charset: d.part.Charset}
		l.readBase(d.found)
		for _, link := range d.found.links {
			if address, keep := l.address(link); link.off && keep == "" {
				r.exempt = append(r.exempt, address)
			}
		}
	}
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

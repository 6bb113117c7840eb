package rewrite

import (
	"bytes"
	"strings"

	"github.com/postrider-mta/postrider/internal/mimetree"
)

// link is the href of an <a> or <area>.
type link struct {
	start, end int
	quote      byte
	// hidden: inside a comment, which the value must not end.
	hidden bool
	// off: the author asked for this link not to be tracked.
	off bool
	// unclear: in plain text, it may end earlier.
	unclear bool
}

// survey is what an HTML document holds, as offsets in its content.
type survey struct {
	links []link
	// base is the href of the first <base>; empty when there is none.
	base []byte
	// optOuts are the edits that remove attributes meant for us.
	optOuts []mimetree.Edit
	// pixelAt and pixelEnd are what the pixel replaces; pixelAt is -1 where
	// there is no place for it.
	pixelAt, pixelEnd int
	// strange reports that tokenisers disagree on what is a tag.
	strange bool
}

// examine finds all that matters in a document.
func examine(content []byte) survey {
	e := examiner{content: content, bodyEnd: -1, htmlEnd: -1, placeholder: -1}
	e.walk(0, len(content), 0, false)
	s := survey{links: e.links, base: e.base, optOuts: e.optOuts, strange: e.strange}
	s.pixelAt, s.pixelEnd = e.pixel()
	return s
}

type examiner struct {
	content []byte
	links   []link
	base    []byte
	baseSet bool
	optOuts []mimetree.Edit
	// bodyEnd and htmlEnd are the last real end tags, safeEnd the last place
	// between tags.
	bodyEnd, htmlEnd, safeEnd   int
	placeholder, placeholderEnd int
	strange                     bool
	// foreign: SVG or MathML came, in which CDATA sections are text. In HTML
	// they are comments.
	foreign bool
}

const maxNesting = 4

// walk examines a part of the content that is a document, or that is one for
// some readers.
func (e *examiner) walk(start, end, nesting int, hidden bool) {
	s := scanner{content: e.content[:end], at: start}
	for {
		p, ok := s.next()
		if !ok {
			return
		}
		switch p.kind {
		case kindStart:
			e.startTag(p, hidden)
		case kindRaw:
			e.rawText(p, nesting, hidden)
		case kindComment:
			e.comment(p, nesting)
		}
		if nesting == 0 {
			e.place(p, s.raw != nil)
		}
	}
}

// rawText looks into <noscript>, which is a document for readers that run no
// scripts: all mail programs.
func (e *examiner) rawText(p piece, nesting int, hidden bool) {
	text := e.content[p.start:p.end]
	switch {
	case is(p.name, "noscript") && nesting < maxNesting:
		e.walk(p.start, p.end, nesting+1, hidden)
	case is(p.name, "script") && nestsScripts(text):
		e.strange = true
	}
}

// comment looks into <!--[if mso]> … <![endif]-->, which is a document for
// Outlook.
func (e *examiner) comment(p piece, nesting int) {
	text := e.content[p.start:p.end]
	inside, ok := bytes.CutPrefix(text, []byte("<!--"))
	if !ok || !p.closed {
		e.strange = e.strange || e.foreign && bytes.HasPrefix(text, []byte("<![CDATA["))
		return
	}
	inside = bytes.TrimSuffix(bytes.TrimSuffix(inside, []byte("-->")), []byte("--!>"))
	if nesting == 0 && e.placeholder < 0 && strings.TrimSpace(string(limited(inside))) == Placeholder {
		e.placeholder, e.placeholderEnd = p.start, p.end
		return
	}
	if trimmed := bytes.TrimLeft(inside, " \t\r\n"); !bytes.HasPrefix(trimmed, []byte("[if")) || nesting >= maxNesting {
		return
	}
	if i := bytes.Index(inside, []byte("]>")); i >= 0 {
		start := p.start + len("<!--")
		e.walk(start+i+2, start+len(inside), nesting+1, true)
	}
}

// limited keeps long comments from being copied.
func limited(text []byte) []byte { return text[:min(len(text), 4*len(Placeholder))] }

func (e *examiner) startTag(p piece, hidden bool) {
	switch {
	case is(p.name, "a"), is(p.name, "area"):
		e.anchor(p, hidden)
	case is(p.name, "svg"), is(p.name, "math"):
		e.foreign = true
	case is(p.name, "base") && !hidden && !e.baseSet:
		a := attributes{content: e.content[:p.end], at: p.start + 1 + len(p.name)}
		for a.next() {
			if a.named("href") && !e.baseSet {
				e.base, e.baseSet = a.text(), true
			}
		}
	}
}

func (e *examiner) anchor(p piece, hidden bool) {
	found := link{start: -1, hidden: hidden}
	a := attributes{content: e.content[:p.end], at: p.start + 1 + len(p.name)}
	for a.next() {
		switch {
		case a.named("href"):
			// Of repeated attributes the first counts.
			if found.start < 0 {
				found.start, found.end, found.quote = a.start, a.end, a.quote
			}
		case isOptOut(&a):
			found.off = found.off || turnsOff(&a)
			e.optOuts = append(e.optOuts, removal(e.content, a.attribute))
		}
	}
	if found.start >= 0 {
		e.links = append(e.links, found)
	}
}

// place notes where a pixel can go.
func (e *examiner) place(p piece, raw bool) {
	switch {
	case p.kind == kindEnd && is(p.name, "body"):
		e.bodyEnd = p.start
	case p.kind == kindEnd && is(p.name, "html"):
		e.htmlEnd = p.start
	}
	unfinished := p.kind == kindBroken || raw || p.kind >= kindComment && !p.closed || p.kind == kindRaw
	switch {
	case unfinished:
	case p.kind == kindText && bytes.HasSuffix(e.content[:p.end], []byte("</")):
		e.safeEnd = p.end - len("</")
	default:
		e.safeEnd = p.end
	}
}

// pixel returns what the pixel replaces.
func (e *examiner) pixel() (start, end int) {
	switch {
	case e.placeholder >= 0:
		return e.placeholder, e.placeholderEnd
	case e.bodyEnd >= 0:
		return e.bodyEnd, e.bodyEnd
	case e.htmlEnd >= 0:
		return e.htmlEnd, e.htmlEnd
	}
	at := len(bytes.TrimRight(e.content[:e.safeEnd], " \t\r\n"))
	if at == 0 {
		return -1, -1
	}
	return at, at
}

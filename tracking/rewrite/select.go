package rewrite

import (
	"bytes"
	"fmt"

	"github.com/postrider-mta/postrider/internal/mimetree"
)

// document is one HTML part that may be changed.
type document struct {
	part    *mimetree.Part
	content mimetree.Content
	found   survey
	// broken is why the content cannot be decoded.
	broken error
	// text: it is plain text, not HTML.
	text bool
}

// documents appends the HTML parts, and where their links are asked for the
// plain ones, below p that a reader is shown and that no
// signature covers. later reports that another part came before p in its
// multipart/mixed.
func (r *rewriter) documents(p *mimetree.Part, found []*document, later bool) []*document {
	switch {
	case p.Sealed():
		return found
	case p.Multipart():
		mixed := p.Type == "multipart/mixed"
		for i, child := range p.Children {
			found = r.documents(child, found, later || mixed && i > 0)
		}
		return found
	case p.Type == "text/plain" && r.options.TextLink != nil:
		if d, skip := r.open(p, later); skip == "" {
			found = append(found, d)
		}
		return found
	case p.Type != "text/html":
		return found
	}
	d, skip := r.open(p, later)
	if skip != "" {
		r.result.Skipped = append(r.result.Skipped, skip)
		return found
	}
	return append(found, d)
}

// open decodes and surveys one part.
func (r *rewriter) open(p *mimetree.Part, later bool) (*document, Skip) {
	switch {
	case p.Disposition != "" && p.Disposition != "inline", p.Named && later:
		return nil, SkipAttachment
	case p.Encoding == mimetree.EncodingUnknown:
		return nil, SkipEncoding
	case !extendsASCII(p.Charset):
		return nil, SkipCharset
	}
	content, err := p.Content(r.message)
	if err != nil {
		return &document{part: p, broken: err}, ""
	}
	if bytes.HasPrefix(content.Bytes, []byte("\xff\xfe")) || bytes.HasPrefix(content.Bytes, []byte("\xfe\xff")) {
		return nil, SkipCharset
	}
	// Some readers drop NUL, which moves tags about.
	if bytes.IndexByte(content.Bytes, 0) >= 0 {
		return nil, SkipContent
	}
	if p.Type == "text/plain" {
		if isSignedText(content.Bytes) {
			return nil, SkipContent
		}
		return &document{part: p, content: content, text: true}, ""
	}
	found := examine(content.Bytes)
	if found.strange {
		return nil, SkipContent
	}
	return &document{part: p, content: content, found: found}, ""
}

// pixelDocument chooses the one part that gets the pixel: of alternatives the
// last, which readers prefer (RFC 2046 section 5.1.4), of parts in a row the
// first, which is the text.
func pixelDocument(p *mimetree.Part, documents []*document) *document {
	for _, d := range documents {
		if d.part == p && d.broken == nil && !d.text && d.found.pixelAt >= 0 {
			return d
		}
	}
	var chosen *document
	for _, child := range p.Children {
		if d := pixelDocument(child, documents); d != nil {
			chosen = d
			if p.Type != "multipart/alternative" {
				break
			}
		}
	}
	return chosen
}

// document returns the edits of one part's content.
func (r *rewriter) document(d *document, pixel bool) ([]mimetree.Edit, error) {
	if d.broken != nil {
		return nil, fmt.Errorf("%s: %w", d.part.Type, d.broken)
	}
	w := linker{rewriter: r, content: d.content.Bytes, charset: d.part.Charset, link: r.options.Link}
	if d.text {
		w.link, w.text = r.options.TextLink, true
		return w.textEdits(joinsLines(d.part))
	}
	edits, err := w.edits(d.found)
	if err != nil {
		return nil, err
	}
	if pixel {
		edits = insertPixel(edits, d.found, r.options.Pixel)
		r.result.Pixel = true
	}
	return edits, nil
}

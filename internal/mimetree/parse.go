package mimetree

import (
	"bytes"
	"fmt"
)

const (
	maxDepth = 32
	maxParts = 2000
)

// Options say how deep to look.
type Options struct {
	// Messages takes apart the messages inside message/rfc822 parts too.
	Messages bool
}

// Parse reads the structure of a message with CRLF or LF line ends. Errors wrap
// ErrMalformed or ErrTooComplex.
func Parse(message []byte, o Options) (*Part, error) {
	p := parser{message: message, options: o}
	return p.entity(top(message), len(message), 0, false)
}

// ParseHeader reads the message's own header and nothing else. Errors wrap
// ErrMalformed.
func ParseHeader(message []byte) (*Header, error) {
	h, _, err := parseHeader(message, top(message), len(message))
	return h, err
}

// top is where the header begins: behind an mbox From line.
func top(message []byte) int {
	if bytes.HasPrefix(message, []byte("From ")) {
		return lineEnd(message, 0, len(message))
	}
	return 0
}

type parser struct {
	message []byte
	options Options
	parts   int
	// open are the boundaries of the multiparts around the current part.
	open []string
}

// entity reads a header and what follows it.
func (p *parser) entity(start, end, depth int, digest bool) (*Part, error) {
	if p.parts++; p.parts > maxParts || depth > maxDepth {
		return nil, ErrTooComplex
	}
	header, body, err := parseHeader(p.message, start, end)
	if err != nil {
		return nil, err
	}
	part := &Part{Header: header, Body: body, End: end}
	if err := part.describe(digest); err != nil {
		return nil, err
	}
	switch {
	case part.Multipart():
		return part, p.multipart(part, depth)
	case part.Type == "message/rfc822" && p.options.Messages && part.Encoding == EncodingIdentity:
		child, err := p.entity(part.Body, part.End, depth+1, false)
		if err != nil {
			return nil, err
		}
		part.Children = []*Part{child}
	}
	return part, nil
}

func (p *parser) multipart(part *Part, depth int) error {
	if err := p.checkBoundary(part); err != nil {
		return err
	}
	ranges, err := p.split(part.Body, part.End, part.boundary)
	if err != nil {
		return err
	}
	p.open = append(p.open, part.boundary)
	defer func() { p.open = p.open[:len(p.open)-1] }()
	for _, r := range ranges {
		child, err := p.entity(r.start, r.end, depth+1, part.Type == "multipart/digest")
		if err != nil {
			return err
		}
		part.Children = append(part.Children, child)
	}
	return nil
}

func (p *parser) checkBoundary(part *Part) error {
	switch {
	case part.Encoding != EncodingIdentity:
		return fmt.Errorf("%w: a multipart with a transfer encoding", ErrMalformed)
	case part.boundary == "" || part.boundaryCount != 1 || part.strange:
		return fmt.Errorf("%w: a multipart without a clear boundary", ErrMalformed)
	}
	for _, other := range p.open {
		if other == part.boundary {
			return fmt.Errorf("%w: a multipart has the boundary of one around it", ErrMalformed)
		}
	}
	return nil
}

type extent struct{ start, end int }

// split finds the parts between the delimiter lines of RFC 2046 section 5.1.1.
func (p *parser) split(start, end int, boundary string) ([]extent, error) {
	var parts []extent
	delimiter := []byte("--" + boundary)
	partStart := -1
	for at := start; at >= 0; at = p.nextDashes(at, end) {
		next, last, ok := delimiterLine(p.message[:end], at, delimiter)
		if !ok {
			continue
		}
		if partStart >= 0 {
			parts = append(parts, extent{partStart, max(partStart, beforeLineBreak(p.message, at))})
		}
		if last {
			if len(parts) == 0 {
				break
			}
			return parts, nil
		}
		if len(parts) > maxParts {
			return nil, ErrTooComplex
		}
		partStart = next
	}
	if partStart < 0 {
		return nil, fmt.Errorf("%w: a multipart without parts", ErrMalformed)
	}
	return nil, fmt.Errorf("%w: a multipart does not end", ErrMalformed)
}

// nextDashes returns the start of the next line behind at that begins with two
// dashes, or -1.
func (p *parser) nextDashes(at, end int) int {
	if at >= end {
		return -1
	}
	i := bytes.Index(p.message[at:end], []byte("\n--"))
	if i < 0 {
		return -1
	}
	return at + i + 1
}

// delimiterLine reports whether the line at is a delimiter, whether it is the
// last one, and where the next line begins. Only white space may follow: a line
// that merely begins like a delimiter belongs to another multipart or to the
// text.
func delimiterLine(message []byte, at int, delimiter []byte) (next int, last, ok bool) {
	if !bytes.HasPrefix(message[at:], delimiter) {
		return 0, false, false
	}
	next = lineEnd(message, at, len(message))
	rest := message[at+len(delimiter) : next]
	rest = bytes.TrimSuffix(bytes.TrimSuffix(rest, []byte("\n")), []byte("\r"))
	rest, last = bytes.CutPrefix(rest, []byte("--"))
	return next, last, len(bytes.Trim(rest, " \t")) == 0
}

// beforeLineBreak returns the offset of the line break that ends before at.
func beforeLineBreak(message []byte, at int) int {
	if at > 0 && message[at-1] == '\n' {
		at--
		if at > 0 && message[at-1] == '\r' {
			at--
		}
	}
	return at
}

package mimetree

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Encode7Bit returns the message for a server without 8BITMIME (RFC 6152):
// every leaf with octets above 127 in quoted-printable, or base64 where that is
// shorter, with the header fields that say so. Decoded, each leaf is what it
// was. A message without such octets is returned itself.
//
// Errors wrap ErrSigned, ErrHeader, ErrMalformed, ErrTooComplex or ErrEncoding:
// this message cannot go to that server.
func Encode7Bit(message []byte) ([]byte, error) {
	if is7Bit(message) {
		return message, nil
	}
	root, err := Parse(message, Options{Messages: true})
	if err != nil {
		return nil, err
	}
	e := encoder{message: message, lineBreak: LineBreak(message)}
	if !is7Bit(message[:root.Header.Start]) {
		return nil, ErrHeader
	}
	if err := e.part(root, true); err != nil {
		return nil, err
	}
	slices.SortStableFunc(e.edits, func(a, b Edit) int { return cmp.Compare(a.Start, b.Start) })
	return Apply(message, e.edits), nil
}

func is7Bit(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

type encoder struct {
	message   []byte
	lineBreak string
	edits     []Edit
}

func (e *encoder) part(p *Part, root bool) error {
	if !is7Bit(e.message[p.Header.Start:p.Body]) {
		return ErrHeader
	}
	content := e.message[p.Body:p.End]
	switch {
	case is7Bit(content):
		return nil
	case p.Sealed():
		return ErrSigned
	case len(p.Children) > 0:
		return e.container(p)
	case strings.HasPrefix(p.Type, "message/"):
		return fmt.Errorf("%w: 8-bit content in a part that takes no transfer encoding", ErrEncoding)
	}
	return e.leaf(p, content, root)
}

// container encodes what is inside. Between the parts only the text of preamble
// and epilogue remains, which is no part of the message: it loses its octets
// above 127.
func (e *encoder) container(p *Part) error {
	for _, f := range p.Header.Find("Content-Transfer-Encoding") {
		e.edits = append(e.edits, Edit{f.Colon + 1, f.End, []byte(" 7bit" + e.lineBreak)})
	}
	at := p.Body
	for _, child := range p.Children {
		e.blank(at, child.Header.Start)
		if err := e.part(child, p.Type == "message/rfc822"); err != nil {
			return err
		}
		at = child.End
	}
	e.blank(at, p.End)
	return nil
}

func (e *encoder) blank(start, end int) {
	for at := start; at < end; at++ {
		if e.message[at] >= 0x80 {
			e.edits = append(e.edits, Edit{at, at + 1, []byte("?")})
		}
	}
}

func (e *encoder) leaf(p *Part, content []byte, root bool) error {
	switch p.Encoding {
	case EncodingQuotedPrintable:
		decoded, _, err := decodeQuotedPrintable(content)
		if err != nil {
			return err
		}
		q := Quoter{LineBreak: e.lineBreak}
		q.Text(decoded)
		e.edits = append(e.edits, Edit{p.Body, p.End, q.Out})
		return nil
	case EncodingIdentity:
	default:
		return fmt.Errorf("%w: octets above 127", ErrEncoding)
	}
	name, encoded := e.encode(p, content)
	if name == "base64" && p.End == len(e.message) {
		encoded = append(encoded, e.lineBreak...)
	}
	e.edits = append(e.edits, p.SetEncoding(name, e.lineBreak, root)...)
	e.edits = append(e.edits, Edit{p.Body, p.End, encoded})
	return nil
}

// encode chooses the shorter encoding for text; what is not text has no lines
// and gets base64.
func (e *encoder) encode(p *Part, content []byte) (name string, encoded []byte) {
	if strings.HasPrefix(p.Type, "text/") {
		q := Quoter{Out: make([]byte, 0, len(content)+len(content)/4), LineBreak: e.lineBreak}
		q.Text(content)
		if len(q.Out) <= (len(content)+2)/3*4+len(content)/57*len(e.lineBreak) {
			return "quoted-printable", q.Out
		}
	}
	encoded = AppendBase64(make([]byte, 0, len(content)*3/2), content, maxQuoted, e.lineBreak)
	return "base64", encoded
}

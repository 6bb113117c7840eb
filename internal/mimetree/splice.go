package mimetree

import (
	"bytes"
	"sort"
)

// maxLine is the longest line a message may have, without its line break (RFC
// 5322 section 2.1.1).
const maxLine = 998

// Splice returns the edits of the message that make the given edits of the
// decoded content of a leaf, as Content returned it with its runs. Outside them
// the leaf keeps its bytes, save that base64 is encoded again, and that content
// as it is becomes quoted-printable when an edited line would be longer than
// RFC 5322 allows.
func (p *Part) Splice(message []byte, c Content, edits []Edit, root bool) []Edit {
	if len(edits) == 0 {
		return nil
	}
	body := message[p.Body:p.End]
	switch p.Encoding {
	case EncodingQuotedPrintable:
		q := Quoter{Out: make([]byte, 0, len(body)+len(body)/4), LineBreak: LineBreak(message)}
		spliceQuoted(&q, body, c.runs, edits)
		return []Edit{{p.Body, p.End, q.Out}}
	case EncodingBase64:
		return []Edit{{p.Body, p.End, again(body, Apply(c.Bytes, edits), LineBreak(message))}}
	}
	if overlong(body, edits) {
		q := Quoter{Out: make([]byte, 0, len(body)*5/4), LineBreak: LineBreak(message)}
		q.Text(Apply(c.Bytes, edits))
		return append(p.SetEncoding("quoted-printable", q.LineBreak, root), Edit{p.Body, p.End, q.Out})
	}
	moved := make([]Edit, len(edits))
	for i, e := range edits {
		moved[i] = Edit{e.Start + p.Body, e.End + p.Body, e.New}
	}
	return moved
}

// Content is a leaf's content without its transfer encoding.
type Content struct {
	Bytes []byte
	runs  []run
}

// Content decodes the leaf. Where it has no transfer encoding the bytes are the
// message's own. Errors wrap ErrEncoding.
func (p *Part) Content(message []byte) (c Content, err error) {
	body := message[p.Body:p.End]
	switch p.Encoding {
	case EncodingIdentity:
		c.Bytes = body
	case EncodingQuotedPrintable:
		c.Bytes, c.runs, err = decodeQuotedPrintable(body)
	case EncodingBase64:
		c.Bytes, err = decodeBase64(body)
	default:
		err = ErrEncoding
	}
	return c, err
}

// overlong reports whether a line that an edit touches would be too long.
func overlong(content []byte, edits []Edit) bool {
	for i := 0; i < len(edits); {
		start := bytes.LastIndexByte(content[:edits[i].Start], '\n') + 1
		end, grown := start, 0
		for first := true; i < len(edits) && (first || edits[i].Start <= end); i++ {
			grown += len(edits[i].New) - (edits[i].End - edits[i].Start)
			end = beforeLineBreak(content, lineEnd(content, edits[i].End, len(content)))
			first = false
		}
		if end-start+grown > maxLine {
			return true
		}
	}
	return false
}

// again encodes content in base64 with the line length, and the white space
// around it, that body has.
func again(body, content []byte, lineBreak string) []byte {
	const space = " \t\r\n"
	text := bytes.Trim(body, space)
	lead := len(body) - len(bytes.TrimLeft(body, space))
	width := maxQuoted
	if i := bytes.IndexAny(text, space); i >= 4 && i <= maxQuoted && i%4 == 0 {
		width = i
	}
	out := append(make([]byte, 0, len(content)*3/2+len(body)-len(text)), body[:lead]...)
	out = AppendBase64(out, content, width, lineBreak)
	return append(out, body[lead+len(text):]...)
}

// spliceQuoted copies body with the edits of its decoded content made.
func spliceQuoted(q *Quoter, body []byte, runs []run, edits []Edit) {
	at := 0
	for i, e := range edits {
		start := encodedStart(runs, e.Start)
		end := start
		if e.End > e.Start {
			end = encodedEnd(runs, e.End)
		}
		q.Out = append(q.Out, body[at:start]...)
		q.Inline(e.New)
		// What follows on the line must fit, with room for a soft line break
		// where the next edit begins.
		following := beforeLineBreak(body, lineEnd(body, end, len(body))) - end
		if following <= 0 {
			q.endLine()
		}
		if i+1 < len(edits) {
			following = min(following, encodedStart(runs, edits[i+1].Start)-end+1)
		}
		q.Fits(following)
		at = end
	}
	q.Out = append(q.Out, body[at:]...)
}

// encodedStart returns where the encoding of the decoded octet at begins.
func encodedStart(runs []run, at int) int {
	r := runs[sort.Search(len(runs), func(i int) bool { return runs[i].decoded > at })-1]
	return r.encoded + at - r.decoded
}

// encodedEnd returns where the encoding of the octet before at ends; at is not
// 0.
func encodedEnd(runs []run, at int) int {
	r := runs[sort.Search(len(runs), func(i int) bool { return runs[i].decoded >= at })-1]
	if r.escape {
		return r.encoded + 3
	}
	return r.encoded + at - r.decoded
}

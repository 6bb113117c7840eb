package mimetree

import (
	"bytes"
	"encoding/base64"
	"fmt"
)

// decodeBase64 is strict about everything but white space (RFC 2045 section
// 6.8): content that decoders could read in different ways is an error.
func decodeBase64(body []byte) ([]byte, error) {
	packed := make([]byte, 0, len(body))
	for _, c := range body {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			packed = append(packed, c)
		}
	}
	n, err := base64.StdEncoding.Decode(packed, packed)
	if err != nil {
		return nil, fmt.Errorf("%w: base64", ErrEncoding)
	}
	return packed[:n], nil
}

// AppendBase64 appends content as base64 in lines of at most width characters,
// the last one without a line break.
func AppendBase64(dst, content []byte, width int, lineBreak string) []byte {
	width = max(width/4*4, 4)
	step := width / 4 * 3
	for len(content) > step {
		dst = base64.StdEncoding.AppendEncode(dst, content[:step])
		dst = append(dst, lineBreak...)
		content = content[step:]
	}
	return base64.StdEncoding.AppendEncode(dst, content)
}

// run is a stretch of quoted-printable in which decoded and encoded octets
// advance together, or one escaped octet.
type run struct {
	// decoded and encoded are where it begins on either side.
	decoded, encoded int
	// escape marks the three characters of one escaped octet.
	escape bool
}

// decodeQuotedPrintable decodes the body (RFC 2045 section 6.7) and says by
// runs where each octet came from. Octets above 127 pass; an equals sign that
// begins no escape and no soft line break is an error.
func decodeQuotedPrintable(body []byte) (content []byte, runs []run, err error) {
	content = make([]byte, 0, len(body))
	runs = append(runs, run{})
	for at := 0; ; {
		i := bytes.IndexByte(body[at:], '=')
		if i < 0 {
			return append(content, body[at:]...), runs, nil
		}
		content = append(content, body[at:at+i]...)
		at += i
		if n := softBreak(body[at:]); n > 0 {
			at += n
		} else if octet, ok := unhex(body[at:]); ok {
			runs = append(runs, run{len(content), at, true})
			content = append(content, octet)
			at += 3
		} else {
			return nil, nil, fmt.Errorf("%w: quoted-printable", ErrEncoding)
		}
		runs = append(runs, run{len(content), at, false})
	}
}

// softBreak returns the length of a soft line break at the front; the end of
// the content counts as a line break.
func softBreak(b []byte) int {
	i := 1
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	switch {
	case i == len(b):
		return i
	case b[i] == '\n':
		return i + 1
	case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
		return i + 2
	}
	return 0
}

func unhex(b []byte) (octet byte, ok bool) {
	if len(b) < 3 {
		return 0, false
	}
	high, ok1 := nibble(b[1])
	low, ok2 := nibble(b[2])
	return high<<4 | low, ok1 && ok2
}

func nibble(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

package report

import (
	"encoding/base64"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
)

// words returns the part's text as UTF-8, at most maxWords, without control
// characters but the ends of lines.
func (p *part) words() string {
	text := decodeCharset(p.content(), p.charset)
	if p.media == "text/html" {
		text = htmlWords(text)
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ReplaceAll(text, "\r\n", "\n"))
	return limit(text, maxWords)
}

// content undoes the transfer encoding. Whatever is malformed is taken as it
// stands.
func (p *part) content() []byte {
	word, _, _ := strings.Cut(p.fields.Get("Content-Transfer-Encoding"), ";")
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "base64":
		return decodeBase64(p.body)
	case "quoted-printable":
		return decodeQuoted(p.body)
	}
	return p.body
}

func decodeBase64(body []byte) []byte {
	packed := make([]byte, 0, len(body))
	for _, c := range body {
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' {
			packed = append(packed, c)
		}
	}
	if len(packed)%4 == 1 {
		packed = packed[:len(packed)-1] // cut off in the middle
	}
	n, _ := base64.RawStdEncoding.Decode(packed, packed)
	return packed[:n]
}

// decodeQuoted decodes quoted-printable (RFC 2045 section 6.7); an equals sign
// that begins no escape stands for itself.
func decodeQuoted(body []byte) []byte {
	out := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		if body[i] != '=' {
			out = append(out, body[i])
			continue
		}
		if n := softBreak(body[i:]); n > 0 {
			i += n - 1
		} else if octet, ok := unhex(body[i:]); ok {
			out = append(out, octet)
			i += 2
		} else {
			out = append(out, '=')
		}
	}
	return out
}

// softBreak returns the length of a soft line break at the front.
func softBreak(b []byte) int {
	i := 1
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	if i < len(b) && b[i] == '\n' {
		return i + 1
	}
	return 0
}

func unhex(b []byte) (octet byte, ok bool) {
	if len(b) < 3 {
		return 0, false
	}
	for _, c := range b[1:3] {
		switch {
		case c >= '0' && c <= '9':
			octet = octet<<4 | (c - '0')
		case c >= 'A' && c <= 'F', c >= 'a' && c <= 'f':
			octet = octet<<4 | (c&^0x20 - 'A' + 10)
		default:
			return 0, false
		}
	}
	return octet, true
}

// decodeCharset brings text to UTF-8; an unknown charset is read as UTF-8.
func decodeCharset(content []byte, charset string) string {
	content = content[:min(len(content), 2*maxWords)]
	if found, err := htmlindex.Get(charset); err == nil && found != encoding.Nop {
		if decoded, err := found.NewDecoder().Bytes(content); err == nil {
			content = decoded
		}
	}
	return strings.ToValidUTF8(string(content), "\ufffd")
}

// charsetReader serves encoded words in header fields.
func charsetReader(charset string, input io.Reader) (io.Reader, error) {
	found, err := htmlindex.Get(charset)
	if err != nil {
		return nil, err
	}
	return found.NewDecoder().Reader(input), nil
}

// htmlWords drops tags; those that end a line do.
func htmlWords(text string) string {
	var out strings.Builder
	tokens := html.NewTokenizer(strings.NewReader(text))
	hidden := false
	for out.Len() < maxWords {
		switch tokens.Next() {
		case html.ErrorToken:
			return out.String()
		case html.TextToken:
			if !hidden {
				out.Write(tokens.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := tokens.TagName()
			hidden = isHidden(string(name))
			if endsLine(string(name)) {
				out.WriteByte('\n')
			}
		case html.EndTagToken:
			hidden = false
		}
	}
	return out.String()
}

func isHidden(tag string) bool { return tag == "style" || tag == "script" || tag == "title" }

func endsLine(tag string) bool {
	switch tag {
	case "br", "p", "div", "tr", "td", "li", "h1", "h2", "h3", "table", "pre", "hr":
		return true
	}
	return false
}

package mimetree

import (
	"strings"
)

// Encoding is a content transfer encoding (RFC 2045 section 6).
type Encoding uint8

const (
	// EncodingIdentity is 7bit, 8bit, binary or none: content as it is.
	EncodingIdentity Encoding = iota
	// EncodingQuotedPrintable is quoted-printable.
	EncodingQuotedPrintable
	// EncodingBase64 is base64.
	EncodingBase64
	// EncodingUnknown is any other; its content cannot be read.
	EncodingUnknown
)

// Part is one entity of a message: the message itself or a body part.
type Part struct {
	Header *Header
	// Body and End delimit the content, without the line break that belongs to
	// the boundary behind it.
	Body, End int
	// Type is the media type in lower case, with the defaults of RFC 2045
	// section 5.2.
	Type string
	// Charset is the charset parameter in lower case; empty when absent.
	Charset  string
	Encoding Encoding
	// Disposition is inline, attachment or another word; empty when absent.
	Disposition string
	// Named reports a file name, in either header field.
	Named bool
	// Children are the parts of a multipart, or the one message inside a
	// message/rfc822 where those were asked for.
	Children []*Part

	boundary string
	// boundaryCount guards against a repeated parameter.
	boundaryCount int
	strange       bool
}

// Multipart reports a part that holds others between boundaries.
func (p *Part) Multipart() bool { return strings.HasPrefix(p.Type, "multipart/") }

// Sealed reports a part that may not be changed inside, since a signature or an
// encryption covers it (RFC 1847).
func (p *Part) Sealed() bool {
	return p.Type == "multipart/signed" || p.Type == "multipart/encrypted"
}

// describe fills the part from its header.
func (p *Part) describe(digest bool) error {
	contentType, err := p.Header.only("Content-Type")
	if err != nil {
		return err
	}
	p.describeType(contentType, digest)
	encoding, err := p.Header.only("Content-Transfer-Encoding")
	if err != nil {
		return err
	}
	p.Encoding = parseEncoding(encoding)
	disposition, err := p.Header.only("Content-Disposition")
	if err != nil {
		return err
	}
	word, params, _ := parseStructured(disposition)
	p.Disposition = word
	for _, param := range params {
		p.Named = p.Named || isName(param.name, "filename")
	}
	return nil
}

func (p *Part) describeType(value string, digest bool) {
	word, params, ok := parseStructured(value)
	p.Type = word
	p.strange = !ok
	if strings.Count(word, "/") != 1 || strings.HasPrefix(word, "/") || strings.HasSuffix(word, "/") {
		p.Type = "text/plain"
		if value == "" && digest {
			p.Type = "message/rfc822"
		}
	}
	for _, param := range params {
		switch {
		case param.name == "charset" && p.Charset == "":
			p.Charset = strings.ToLower(strings.Trim(param.value, " \t"))
		case isName(param.name, "boundary"):
			p.boundary = strings.TrimRight(param.value, " \t")
			p.boundaryCount++
			p.strange = p.strange || param.name != "boundary"
		case isName(param.name, "name"):
			p.Named = true
		}
	}
}

// isName matches a parameter in its plain, extended and continued forms (RFC
// 2231).
func isName(name, want string) bool {
	return name == want || strings.HasPrefix(name, want+"*")
}

func parseEncoding(value string) Encoding {
	word, _, _ := parseStructured(value)
	switch word {
	case "", "7bit", "8bit", "binary":
		return EncodingIdentity
	case "quoted-printable":
		return EncodingQuotedPrintable
	case "base64":
		return EncodingBase64
	}
	return EncodingUnknown
}

package rewrite

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"

	"github.com/postrider-mta/postrider/internal/mail"
)

// extendsASCII reports whether octets below 128 mean ASCII in a charset, as far
// as markup goes: in the double-byte charsets of Asia some second octets are in
// that range, but none is a character that delimits tags or values. Unknown
// charsets are taken to do so, as readers do.
func extendsASCII(charset string) bool {
	for _, prefix := range otherCharsets() {
		if strings.HasPrefix(charset, prefix) {
			return false
		}
	}
	return true
}

// otherCharsets are those in which a < may be no 0x3C or a 0x3C no <, as
// prefixes.
func otherCharsets() [19]string {
	return [...]string{
		"utf-16", "utf16", "csutf16", "utf-32", "utf32", "csutf32", "utf-7", "utf7", "csutf7",
		"iso-2022", "csiso2022", "iso-10646", "csunicode", "unicode", "ucs-", "ucs2", "hz", "ebcdic", "ibm037",
	}
}

// text converts an attribute's value to UTF-8.
func text(raw []byte, charset string) (string, bool) {
	if mail.IsASCII(raw) {
		return string(raw), true
	}
	switch charset {
	case "", "us-ascii", "ascii", "utf-8", "utf8":
		return string(raw), utf8.Valid(raw)
	}
	encoding, err := htmlindex.Get(charset)
	if err != nil {
		return "", false
	}
	decoded, err := encoding.NewDecoder().Bytes(raw)
	if err != nil || strings.ContainsRune(string(decoded), utf8.RuneError) {
		return "", false
	}
	return string(decoded), true
}

// legacy reports a charset in which browsers write the query of a URL in
// another way than in UTF-8 (WHATWG URL section 4.4).
func legacy(charset string) bool {
	switch charset {
	case "", "us-ascii", "ascii", "utf-8", "utf8":
		return false
	}
	return true
}

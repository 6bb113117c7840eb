package rewrite

import (
	"strings"

	"golang.org/x/net/html"
)

// unescape decodes character references as they are in attributes: unlike in
// text, &copy=2 is no reference (WHATWG HTML section 13.2.5.73).
func unescape(value string) string {
	at := strings.IndexByte(value, '&')
	if at < 0 {
		return value
	}
	var b strings.Builder
	for at >= 0 {
		b.WriteString(value[:at])
		value = value[at:]
		n := referenceLength(value)
		b.WriteString(decodeReference(value[:n], value[n:]))
		value = value[n:]
		at = strings.IndexByte(value, '&')
	}
	b.WriteString(value)
	return b.String()
}

// referenceLength returns the length of what may be a reference at the front:
// the ampersand, # where there is one, letters and digits, the semicolon.
func referenceLength(s string) int {
	n := 1
	if n < len(s) && s[n] == '#' {
		n++
	}
	for n < len(s) && (isLetter(s[n]) || s[n] >= '0' && s[n] <= '9') {
		n++
	}
	if n < len(s) && s[n] == ';' {
		n++
	}
	return n
}

func decodeReference(reference, rest string) string {
	if strings.HasPrefix(reference, "&#") {
		return html.UnescapeString(reference)
	}
	decoded := html.UnescapeString(reference)
	last := decoded[len(decoded)-1]
	if strings.HasSuffix(reference, ";") {
		// A semicolon left over means that only a part of the name was known.
		if last == ';' && len(decoded) > 1 {
			return reference
		}
		return decoded
	}
	if strings.HasPrefix(rest, "=") || isLetter(last) || last >= '0' && last <= '9' {
		return reference
	}
	return decoded
}

// escape writes a URL for an attribute value in the given quotes.
func escape(url string, quote byte) string {
	if !strings.ContainsAny(url, "&<>\"'") {
		return url
	}
	if quote == '\'' {
		return strings.NewReplacer("&", "&amp;", "'", "&#39;", "<", "&lt;", ">", "&gt;").Replace(url)
	}
	return strings.NewReplacer("&", "&amp;", `"`, "&quot;", "<", "&lt;", ">", "&gt;").Replace(url)
}

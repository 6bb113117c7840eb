package tracking

import (
	"net/http"
	"strings"

	"github.com/postrider-mta/postrider/tracking/hit"
	"golang.org/x/net/idna"
)

// click redirects to the target in the token.
func (t *Tracker) click(w http.ResponseWriter, r *http.Request, sealed string) int {
	of, url, err := t.openLink(sealed)
	if err != nil {
		return notFound(w)
	}
	target, ok := location(url)
	if !ok {
		return notFound(w)
	}
	t.record(r, hit.Click, of, url)
	w.Header()["Location"] = []string{target}
	w.WriteHeader(http.StatusFound)
	return http.StatusFound
}

// location writes a target as a header field's value: in ASCII, the host as
// A-labels (RFC 5890), the rest percent-encoded where it must be (RFC 3987
// section 3.1). It refuses anything but http and https.
func location(target string) (string, bool) {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return "", false
	}
	end := strings.IndexAny(rest, `/\?#`)
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	at := strings.LastIndexByte(authority, '@') + 1
	user, host := authority[:at], authority[at:]
	if host == "" {
		return "", false
	}
	if isPlain(target) {
		return target, true
	}
	return scheme + "://" + encode(user) + asciiHost(host) + encode(rest[end:]), true
}

// asciiHost leaves a host alone that cannot be converted: the browser then says
// what is wrong with it.
func asciiHost(host string) string {
	if isPlain(host) {
		return host
	}
	name, port := host, ""
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 {
		name, port = host[:colon], host[colon:]
	}
	if ascii, err := idna.Lookup.ToASCII(name); err == nil {
		return ascii + encode(port)
	}
	return encode(host)
}

// encode percent-encodes what may not be in a header field or a URI; escapes
// that are there stay.
func encode(s string) string {
	if isPlain(s) {
		return s
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if isPlain(s[i : i+1]) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

// isPlain reports text of which nothing must be percent-encoded.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' {
			return false
		}
	}
	return true
}

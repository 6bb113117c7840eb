package rewrite

import (
	"net/url"
	"strings"
)

// target returns the URL that following an href leads to, as a browser finds it
// (WHATWG URL section 4.4), or why it is not to be tracked.
func target(href, base string) (address string, keep Keep) {
	href = clean(href)
	switch {
	case href == "":
		return "", KeepEmpty
	case href[0] == '#':
		return "", KeepFragment
	case hasMarks(href):
		return "", KeepTemplate
	case hasControls(href):
		return "", KeepInvalid
	case isWeb(href):
		return withHost(href)
	case strings.HasPrefix(href, "//"):
		scheme := "https:"
		if base != "" && !hasPrefixFold(base, "https:") {
			scheme = "http:"
		}
		return withHost(scheme + href)
	case hasScheme(href):
		return "", KeepScheme
	case base == "":
		return "", KeepRelative
	}
	return resolve(href, base)
}

func withHost(address string) (string, Keep) {
	if host(address) == "" {
		return "", KeepInvalid
	}
	return address, ""
}

// clean drops what browsers drop: white space around, tabs and line breaks
// inside.
func clean(href string) string {
	href = strings.TrimFunc(href, func(r rune) bool { return r <= ' ' })
	if strings.ContainsAny(href, "\t\r\n") {
		href = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(href)
	}
	return href
}

// hasMarks finds the marks of template languages that nobody filled in.
func hasMarks(href string) bool {
	for _, mark := range [...]string{"{{", "}}", "{%", "%}", "<%", "%>", "*|", "|*"} {
		if strings.Contains(href, mark) {
			return true
		}
	}
	return false
}

func hasControls(href string) bool {
	return strings.ContainsFunc(href, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func isWeb(href string) bool {
	return hasPrefixFold(href, "http://") || hasPrefixFold(href, "https://")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// hasScheme reports scheme: at the front (RFC 3986 section 3.1).
func hasScheme(href string) bool {
	colon := strings.IndexByte(href, ':')
	if colon <= 0 || !isLetter(href[0]) {
		return false
	}
	for i := range colon {
		c := href[i]
		if !isLetter(c) && (c < '0' || c > '9') && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// host returns the host of a web URL in lower case, without user and port. A
// backslash ends it as a slash does.
func host(address string) string {
	_, rest, _ := strings.Cut(address, "//")
	if end := strings.IndexAny(rest, `/\?#`); end >= 0 {
		rest = rest[:end]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, ']') {
		rest = rest[:colon]
	}
	return strings.TrimSuffix(strings.ToLower(rest), ".")
}

// resolve makes a relative reference absolute (RFC 3986 section 5.2).
func resolve(href, base string) (string, Keep) {
	from, err := url.Parse(base)
	if err != nil {
		return "", KeepInvalid
	}
	to, err := from.Parse(href)
	if err != nil || to.Host == "" {
		return "", KeepInvalid
	}
	return to.String(), ""
}

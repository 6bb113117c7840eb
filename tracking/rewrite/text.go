package rewrite

import (
	"bytes"
	"errors"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/mimetree"
)

// textEdits replaces the URLs of plain text: those whose end every reader finds
// in the same place.
func (l *linker) textEdits(joins bool) ([]mimetree.Edit, error) {
	var edits []mimetree.Edit
	for at := 0; ; {
		found, ok := nextURL(l.content, at)
		if !ok {
			return edits, nil
		}
		at = found.end
		address, keep := l.textAddress(found, joins)
		if keep == "" {
			keep = l.kept(address, false)
		}
		if keep != "" {
			l.leave(address, found, keep)
			continue
		}
		replacement, err := l.replacement(address)
		if errors.Is(err, ErrKeep) {
			l.leave(address, found, KeepAsked)
			continue
		}
		if err != nil {
			return nil, err
		}
		edits = append(edits, mimetree.Edit{Start: found.start, End: found.end, New: []byte(replacement)})
	}
}

// textAddress returns the URL, or why it is left alone.
func (l *linker) textAddress(found link, joins bool) (string, Keep) {
	raw := l.content[found.start:found.end]
	if bytes.HasPrefix(l.content[found.end:], []byte("<%")) {
		return "", KeepTemplate
	}
	address, keep := target(string(raw), "")
	if keep == "" && (!mail.IsASCII(raw) || bytes.ContainsAny(raw, "|\\^`") || found.unclear || runsOn(l.content, found, joins)) {
		return "", KeepUnclear
	}
	return address, keep
}

// nextURL finds the next http or https URL from an offset on: up to white space
// or a delimiter (RFC 3986 appendix C), without the punctuation behind it.
func nextURL(content []byte, at int) (link, bool) {
	for {
		i := bytes.Index(content[at:], []byte("://"))
		if i < 0 {
			return link{}, false
		}
		start := schemeStart(content, at, at+i)
		at += i + len("://")
		if start < 0 {
			continue
		}
		end := at
		for end < len(content) && !endsURL(content[end]) {
			end++
		}
		if end = start + trimmed(content[start:end]); end > at {
			return withoutMarks(content, link{start: start, end: end}), true
		}
	}
}

// schemeStart finds http or https right before the colon, as a word of its own.
func schemeStart(content []byte, from, colon int) int {
	for _, scheme := range [...]string{"https", "http"} {
		start := colon - len(scheme)
		if start < from || !strings.EqualFold(string(content[start:colon]), scheme) {
			continue
		}
		if start == 0 || !joinsWord(content[start-1]) {
			return start
		}
		return -1
	}
	return -1
}

// joinsWord reports what may be a part of a longer word or scheme.
func joinsWord(c byte) bool {
	return isLetter(c) || c >= '0' && c <= '9' || c >= 0x80 || strings.IndexByte("+-.@/=&%?#", c) >= 0
}

func endsURL(c byte) bool { return c <= ' ' || c == 0x7f || strings.IndexByte("<>\"", c) >= 0 }

// trimmed returns the length of a URL without the punctuation of the sentence
// around it, and without closing brackets that it does not open.
func trimmed(s []byte) int {
	for n := len(s); ; n-- {
		switch c := s[n-1]; c {
		case '.', ',', ';', ':', '!', '?':
		case ')', ']', '}':
			open := map[byte]string{')': "(", ']': "[", '}': "{"}[c]
			if bytes.Count(s[:n], []byte(open)) >= bytes.Count(s[:n], []byte{c}) {
				return n
			}
		default:
			return n
		}
	}
}

// withoutMarks takes the mark off that stands on both sides of a URL, as for
// emphasis. A mark behind it alone may be its own: that is unclear.
func withoutMarks(content []byte, found link) link {
	last := content[found.end-1]
	if strings.IndexByte("*_~'", last) < 0 {
		return found
	}
	if found.start > 0 && content[found.start-1] == last {
		found.end--
		return found
	}
	found.unclear = true
	return found
}

// runsOn reports a URL that may go on in the next line: one in angle brackets
// that are not closed behind it, or where readers join lines.
func runsOn(content []byte, found link, joins bool) bool {
	rest := content[found.end:]
	switch {
	case found.start > 0 && content[found.start-1] == '<':
		return len(rest) == 0 || rest[0] != '>'
	case !joins:
		return false
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return len(bytes.TrimSpace(line)) == 0 && bytes.HasPrefix(line, []byte(" "))
}

// joinsLines reports format=flowed with delsp=yes (RFC 3676 section 4.1), in
// which a space at the end of a line is none.
func joinsLines(p *mimetree.Part) bool {
	for _, f := range p.Header.Find("Content-Type") {
		if strings.Contains(strings.ToLower(p.Header.Value(f)), "delsp") {
			return true
		}
	}
	return false
}

// isSignedText finds text that a signature inside it covers.
func isSignedText(content []byte) bool { return bytes.Contains(content, []byte("-----BEGIN PGP ")) }

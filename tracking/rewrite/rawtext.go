package rewrite

import "bytes"

// rawEnd finds the end tag of an element whose text is not markup, from its
// text on.
func rawEnd(content []byte, at int, name []byte) (end int, closed bool) {
	switch {
	case is(name, "plaintext"):
		return len(content), false
	case is(name, "script"):
		return scriptEnd(content, at)
	}
	for {
		i := bytes.Index(content[at:], []byte("</"))
		if i < 0 {
			return len(content), false
		}
		at += i
		if namedHere(content, at+2, name) {
			return at, true
		}
		at += 2
	}
}

// namedHere reports whether the tag name at the offset is name.
func namedHere(content []byte, at int, name []byte) bool {
	end := at + len(name)
	return end < len(content) && endsName(content[end]) && bytes.EqualFold(content[at:end], name)
}

// scriptEnd knows that a script inside <!-- --> may hold another script element
// (WHATWG HTML section 13.2.5.20 and after).
func scriptEnd(content []byte, at int) (end int, closed bool) {
	const plain, escaped, nested = 0, 1, 2
	script := []byte("script")
	for state := plain; at < len(content); at++ {
		switch b := content[at:]; {
		case state != plain && bytes.HasPrefix(b, []byte("-->")):
			state = plain
		case b[0] != '<':
		case state == plain && bytes.HasPrefix(b, []byte("<!--")):
			state = escaped
			// The dashes may be the end's too: <!--> and <!--->.
			at++
		case state != nested && bytes.HasPrefix(b, []byte("</")) && namedHere(content, at+2, script):
			return at, true
		case state == escaped && namedHere(content, at+1, script):
			state = nested
		case state == nested && bytes.HasPrefix(b, []byte("</")) && namedHere(content, at+2, script):
			state = escaped
		}
	}
	return len(content), false
}

// nestsScripts reports a script in which a comment may hold another one.
func nestsScripts(text []byte) bool {
	_, comment, ok := bytes.Cut(text, []byte("<!--"))
	return ok && bytes.Contains(bytes.ToLower(comment), []byte("<script"))
}

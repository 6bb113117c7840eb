package report

import (
	"bytes"
	"strings"
)

// part is one entity of a message.
type part struct {
	fields Fields
	// media is type and subtype in lower case; text/plain when absent.
	media string
	// charset and boundary are parameters of the type.
	charset, boundary string
	// body is what stands behind the header, still encoded.
	body     []byte
	children []*part
}

// returnedHere stands for the type of a part that is the message itself: some
// leave out the header around it.
const returnedHere = "message"

// tree reads the structure of a message within bounds.
type tree struct {
	parts     int
	truncated bool
}

// read takes an entity apart.
func (t *tree) read(text []byte, depth int) *part {
	p := &part{}
	p.fields, p.body = readHeader(text)
	p.describe()
	if depth > 0 && !p.fields.Has("Content-Type") && p.fields.Has("Received") && p.fields.Has("From") {
		p.media = returnedHere // the message came back without a header of its own around it
	}
	t.parts++
	for _, section := range p.sections() {
		if depth >= maxDepth || t.parts >= maxParts {
			t.truncated = true
			break
		}
		p.children = append(p.children, t.read(section, depth+1))
	}
	return p
}

// readHeader reads the header of an entity. Text that begins with no field has
// no header.
func readHeader(text []byte) (fields Fields, body []byte) {
	if line, rest := cutLine(text); isMbox(line) {
		text = rest
	}
	line, _ := cutLine(text)
	if _, _, ok := cutField(line); !ok && len(bytes.TrimSpace(line)) > 0 {
		return nil, text
	}
	return readFields(text)
}

// isMbox reports the line that mailbox files put before a message.
func isMbox(line []byte) bool {
	return bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From "))
}

// describe fills the part from its Content-Type.
func (p *part) describe() {
	value := p.fields.Get("Content-Type")
	end := strings.IndexAny(value, "; \t")
	if end < 0 {
		end = len(value)
	}
	p.media = strings.ToLower(value[:end])
	if !strings.Contains(p.media, "/") {
		p.media = "text/plain"
	}
	p.charset = strings.ToLower(parameter(value[end:], "charset"))
	p.boundary = parameter(value[end:], "boundary")
}

// sections splits a multipart. Where its boundary never occurs, or no type was
// given, it is split at what looks like one.
func (p *part) sections() [][]byte {
	switch {
	case strings.HasPrefix(p.media, "multipart/") || p.boundary != "":
		if sections := split(p.body, p.boundary); len(sections) > 0 {
			return sections
		}
		return split(p.body, guessBoundary(p.body, "content-"))
	case !p.fields.Has("Content-Type"):
		for _, media := range []string{"delivery-status", "feedback-report"} {
			if boundary := guessBoundary(p.body, "content-type: message/"+media); boundary != "" {
				return split(p.body, boundary)
			}
		}
	}
	return nil
}

// parameter looks for name=value between semicolons, where the first one may be
// missing.
func parameter(text, name string) string {
	for text != "" {
		text = strings.TrimLeft(text, "; \t")
		equals := strings.IndexAny(text, "=;")
		if equals < 0 {
			return ""
		}
		if text[equals] == ';' {
			text = text[equals:]
			continue
		}
		key := strings.TrimSpace(text[:equals])
		var value string
		value, text = parameterValue(strings.TrimLeft(text[equals+1:], " \t"))
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}

func parameterValue(text string) (value, rest string) {
	if quoted, ok := strings.CutPrefix(text, `"`); ok {
		value, rest, _ = strings.Cut(quoted, `"`)
		return value, rest
	}
	end := strings.IndexAny(text, "; \t")
	if end < 0 {
		end = len(text)
	}
	return text[:end], text[end:]
}

// split returns what lies between the lines of a boundary (RFC 2046 section
// 5.1.1). The last section may lack its end, as in a truncated message.
func split(body []byte, boundary string) [][]byte {
	if boundary == "" {
		return nil
	}
	delimiter := []byte("--" + boundary)
	var sections [][]byte
	start, at := -1, 0
	for at < len(body) {
		line, rest := cutLine(body[at:])
		next := len(body) - len(rest)
		if found, last := isDelimiter(line, delimiter); found {
			if start >= 0 {
				sections = append(sections, body[start:at])
			}
			start = next
			if last {
				return sections
			}
		}
		at = next
	}
	if start >= 0 && start < len(body) {
		sections = append(sections, body[start:])
	}
	return sections
}

func isDelimiter(line, delimiter []byte) (found, last bool) {
	rest, ok := bytes.CutPrefix(line, delimiter)
	rest = bytes.TrimRight(rest, " \t\r")
	last = string(rest) == "--"
	return ok && (last || len(rest) == 0), last
}

// guessBoundary finds the first line that begins with two hyphens and stands
// before a field that begins so.
func guessBoundary(body []byte, field string) string {
	for rest := body; len(rest) > 0; {
		var line []byte
		line, rest = cutLine(rest)
		if len(line) > 2 && bytes.HasPrefix(line, []byte("--")) && len(rest) > len(field) && strings.EqualFold(string(rest[:len(field)]), field) {
			return string(bytes.TrimRight(line[2:], " \t\r"))
		}
	}
	return ""
}

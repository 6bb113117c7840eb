package notice

import (
	"bytes"
	"strings"
)

// isAutomatic reports a message that no person waits to hear of: one whose
// Auto-Submitted says so (RFC 3834 section 5), or that is a report itself.
func isAutomatic(message []byte) bool {
	automatic := firstWord(field(message, "Auto-Submitted"))
	if automatic != "" && automatic != "no" {
		return true
	}
	return firstWord(field(message, "Content-Type")) == "multipart/report"
}

// firstWord is what stands before parameters and comments, in lower case.
func firstWord(value string) string {
	value, _, _ = strings.Cut(value, ";")
	value, _, _ = strings.Cut(value, "(")
	return strings.ToLower(strings.TrimSpace(value))
}

// field returns the unfolded value of the first field of that name in the
// header of a message; empty for none.
func field(message []byte, name string) string {
	var value strings.Builder
	found := false
	for line := range bytes.Lines(message) {
		text := bytes.TrimRight(line, "\r\n")
		switch {
		case len(text) == 0:
			return value.String()
		case text[0] == ' ' || text[0] == '\t':
			if found {
				value.Write(text)
			}
			continue
		case found:
			return value.String()
		}
		before, after, _ := bytes.Cut(text, []byte(":"))
		if found = strings.EqualFold(string(bytes.TrimSpace(before)), name); found {
			value.Write(after)
		}
	}
	return value.String()
}

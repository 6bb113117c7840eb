package config

import (
	"bytes"
	"errors"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxSyntaxErrors bounds the work on a file that is no TOML at all.
const maxSyntaxErrors = 100

// withoutSyntaxErrors reports what the parser cannot read and returns data
// with such lines blank, so that the rest is read too. It goes on only where a
// line stands for itself: behind an open quote or bracket every further line
// would be reported. whole says that there was nothing to report.
func withoutSyntaxErrors(data []byte, problems *problems) (readable []byte, whole bool) {
	data = bytes.Clone(data)
	lines := lineStarts(data)
	for count := range maxSyntaxErrors {
		offset, message, failed := firstSyntaxError(data)
		if !failed {
			return data, count == 0
		}
		at := place{}
		at.line, at.column = position(lines, offset)
		problems.add(at, "expected TOML: %s", message)
		if !blank(data, lines[at.line-1], offset) {
			break
		}
	}
	return data, false
}

func firstSyntaxError(data []byte) (offset int, message string, failed bool) {
	var parser unstable.Parser
	parser.Reset(data)
	for parser.NextExpression() {
	}
	failure, ok := errors.AsType[*unstable.ParserError](parser.Error())
	if !ok {
		return 0, "", false
	}
	if len(failure.Highlight) == 0 {
		return len(data), failure.Message, true
	}
	return int(parser.Range(failure.Highlight).Offset), failure.Message, true
}

// blank overwrites the line that begins at start with spaces, if it is a
// comment, or a key and a value with the mistake in the value.
func blank(data []byte, start, mistake int) bool {
	end := len(data)
	if i := bytes.IndexByte(data[start:], '\n'); i >= 0 {
		end = start + i
	}
	line := data[start:end]
	key, value, pair := bytes.Cut(line, []byte("="))
	value = bytes.TrimSpace(value)
	comment := bytes.HasPrefix(bytes.TrimSpace(line), []byte("#"))
	if !comment && (!pair || mistake <= start+len(key) || opens(value)) {
		return false
	}
	copy(line, bytes.Repeat([]byte(" "), len(line)))
	return true
}

// opens reports whether a value may go on in the next line.
func opens(value []byte) bool {
	for _, start := range []string{"[", "{", `"""`, "'''"} {
		if bytes.HasPrefix(value, []byte(start)) {
			return true
		}
	}
	return false
}

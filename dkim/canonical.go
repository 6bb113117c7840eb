package dkim

import (
	"bytes"
	"crypto/sha256"
)

// appendRelaxedField appends f in the relaxed form of RFC 6376 section 3.4.2.
func appendRelaxedField(to []byte, f field) []byte {
	to = append(to, f.name...)
	to = append(to, ':')
	start := len(to)
	space := false
	for _, c := range f.raw[f.colon+1:] {
		switch c {
		case ' ', '\t', '\r', '\n':
			space = true
		default:
			if space && len(to) > start {
				to = append(to, ' ')
			}
			space = false
			to = append(to, c)
		}
	}
	return append(to, '\r', '\n')
}

// hashBody returns the hash of a body, whose line ends are CRLF, in the relaxed
// form of RFC 6376 section 3.4.4.
func hashBody(body []byte) [sha256.Size]byte {
	// Hashing in pieces keeps the canonical form of a large body out of memory.
	const piece = 4096
	hash := sha256.New()
	buffer := make([]byte, 0, 2*piece)
	empty := 0
	for len(body) > 0 {
		var line []byte
		line, body, _ = bytes.Cut(body, []byte("\r\n"))
		line = bytes.TrimRight(line, " \t")
		if len(line) == 0 {
			empty++
			continue
		}
		for ; empty > 0; empty-- {
			buffer = append(buffer, '\r', '\n')
		}
		buffer = append(appendRelaxedLine(buffer, line), '\r', '\n')
		if len(buffer) >= piece {
			hash.Write(buffer)
			buffer = buffer[:0]
		}
	}
	hash.Write(buffer)
	return [sha256.Size]byte(hash.Sum(nil))
}

// appendRelaxedLine appends a line that does not end in white space with every
// run of white space made one space. Most lines have nothing to change.
func appendRelaxedLine(to, line []byte) []byte {
	kept := 0
	for i := 0; i < len(line); i++ {
		if line[i] != ' ' && line[i] != '\t' {
			continue
		}
		end := i + 1
		for line[end] == ' ' || line[end] == '\t' {
			end++
		}
		if end > i+1 || line[i] == '\t' {
			to = append(to, line[kept:i]...)
			to = append(to, ' ')
			kept = end
		}
		i = end
	}
	return append(to, line[kept:]...)
}

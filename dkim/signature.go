package dkim

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

const (
	fieldName = "DKIM-Signature"
	maxLine   = 76
)

// unsigned returns the DKIM-Signature field of a key up to and with "b=".
func unsigned(key Key, at time.Time, names []string, bodyHash [sha256.Size]byte) []byte {
	var f folder
	f.text = append(f.text, fieldName+":"...)
	f.column = len(f.text)
	f.word(" v=1;")
	f.word(" a=" + string(key.Algorithm()) + ";")
	f.word(" c=relaxed/relaxed;")
	f.word(" d=" + string(key.Domain) + ";")
	f.word(" s=" + key.Selector + ";")
	f.word(" t=" + strconv.FormatInt(at.Unix(), 10) + ";")
	for i, name := range names {
		before, after := ":", ""
		if i == 0 {
			before = " h="
		}
		if i == len(names)-1 {
			after = ";"
		}
		f.word(before + name + after)
	}
	f.word(" bh=" + base64.StdEncoding.EncodeToString(bodyHash[:]) + ";")
	f.word(" b=")
	return f.text
}

// signed completes a field with the signature, folded, and its CRLF.
func signed(unsigned, signature []byte) []byte {
	f := folder{text: unsigned, column: column(unsigned)}
	encoded := base64.StdEncoding.EncodeToString(signature)
	for len(encoded) > 0 {
		room := maxLine - f.column
		if room <= 0 {
			f.fold()
			continue
		}
		n := min(room, len(encoded))
		f.text = append(f.text, encoded[:n]...)
		f.column += n
		encoded = encoded[n:]
	}
	return append(f.text, '\r', '\n')
}

func column(text []byte) int {
	return len(text) - strings.LastIndexByte(string(text), '\n') - 1
}

// folder writes a header field whose lines stay short.
type folder struct {
	text   []byte
	column int
}

// word appends s, on a new line where it would not fit. White space at its
// start becomes that of the fold.
func (f *folder) word(s string) {
	if f.column+len(s) > maxLine {
		f.fold()
		s = strings.TrimPrefix(s, " ")
	}
	f.text = append(f.text, s...)
	f.column += len(s)
}

func (f *folder) fold() {
	f.text = append(f.text, "\r\n "...)
	f.column = 1
}

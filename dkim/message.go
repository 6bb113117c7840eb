package dkim

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrMessage is wrapped by every error that lies in the message itself: it
// cannot be signed, now or later.
var ErrMessage = errors.New("message cannot be signed")

// field is one header field as it stands in the message, with its final CRLF.
type field struct {
	// name in lower case.
	name string
	raw  []byte
	// colon is the offset of the colon in raw.
	colon int
}

// parse splits a message into header fields and body. Line ends are CRLF; a
// lone CR or LF would be repaired by some server on the way, and the signature
// would not survive that.
func parse(message []byte) ([]field, []byte, error) {
	if err := checkLineEnds(message); err != nil {
		return nil, nil, err
	}
	var fields []field
	rest := skipSeparator(message)
	for {
		end := fieldEnd(rest)
		switch {
		case len(rest) == 0 || end < 0:
			return nil, nil, fmt.Errorf("%w: its header does not end", ErrMessage)
		case end == 2:
			return fields, rest[2:], nil
		}
		f, err := parseField(rest[:end])
		if err != nil {
			return nil, nil, err
		}
		fields = append(fields, f)
		rest = rest[end:]
	}
}

// skipSeparator skips the first line of a message that was taken from an mbox
// file. It is no header field, though "From :" is one.
func skipSeparator(message []byte) []byte {
	line, rest, _ := bytes.Cut(message, []byte("\r\n"))
	after, ok := bytes.CutPrefix(line, []byte("From "))
	after = bytes.TrimLeft(after, " \t")
	if !ok || len(after) == 0 || after[0] == ':' || after[0] < 33 || after[0] > 126 {
		return message
	}
	return rest
}

// fieldEnd returns the length of the field at the start of b with its
// continuation lines, 2 for the empty line, -1 where no line ends.
func fieldEnd(b []byte) int {
	end := 0
	for {
		i := bytes.IndexByte(b[end:], '\n')
		if i < 0 {
			return -1
		}
		end += i + 1
		if end == 2 || end == len(b) || b[end] != ' ' && b[end] != '\t' {
			return end
		}
	}
}

func parseField(raw []byte) (field, error) {
	colon := bytes.IndexByte(raw, ':')
	if colon < 0 {
		return field{}, fmt.Errorf("%w: a header line has no colon", ErrMessage)
	}
	// Obsolete syntax has white space before the colon (RFC 5322 section 4.5.8).
	name := bytes.TrimRight(raw[:colon], " \t")
	if len(name) == 0 {
		return field{}, fmt.Errorf("%w: a header field has no name", ErrMessage)
	}
	for _, c := range name {
		if c < 33 || c > 126 {
			return field{}, fmt.Errorf("%w: a header field's name has the octet %#02x", ErrMessage, c)
		}
	}
	return field{name: string(bytes.ToLower(name)), raw: raw, colon: colon}, nil
}

func checkLineEnds(b []byte) error {
	for i := 0; ; {
		lf := bytes.IndexByte(b[i:], '\n')
		line := b[i:]
		if lf >= 0 {
			line = b[i : i+lf]
		}
		cr := bytes.IndexByte(line, '\r')
		switch {
		case lf < 0 && cr < 0:
			return nil
		case cr != len(line)-1 && cr >= 0 || lf < 0:
			return fmt.Errorf("%w: CR without LF", ErrMessage)
		case cr < 0:
			return fmt.Errorf("%w: LF without CR", ErrMessage)
		}
		i += lf + 1
	}
}

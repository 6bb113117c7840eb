package rewrite

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/internal/mimetree"
)

// AddHeaders returns the message with fields, each ended by CRLF, put behind
// the trace fields at its top (RFC 5321 section 4.4). An error, which wraps one
// of mimetree's, comes with the message unchanged.
func AddHeaders(message, fields []byte) ([]byte, error) {
	header, err := mimetree.ParseHeader(message)
	if err != nil {
		return message, fmt.Errorf("add header fields: %w", err)
	}
	at := header.Start
	for _, f := range header.Fields {
		if !isTrace(string(header.Name(f))) {
			break
		}
		at = f.End
	}
	if mimetree.LineBreak(message) == "\n" {
		fields = []byte(strings.ReplaceAll(string(fields), "\r\n", "\n"))
	}
	return slices.Concat(message[:at], fields, message[at:]), nil
}

func isTrace(name string) bool {
	return strings.EqualFold(name, "Received") || strings.EqualFold(name, "Return-Path")
}

// HasHeader reports whether the message's header has a field of that name. An
// error wraps one of mimetree's.
func HasHeader(message []byte, name string) (bool, error) {
	header, err := mimetree.ParseHeader(message)
	if err != nil {
		return false, fmt.Errorf("read header: %w", err)
	}
	return len(header.Find(name)) > 0, nil
}

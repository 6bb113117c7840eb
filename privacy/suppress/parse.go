package suppress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Errors of lines never hold what the line does: they are shown and logged.

func parseAddress(line []byte) (e Entry, err error) {
	return e, e.set("address", string(line))
}

// parseJSON reads an Entry.
func parseJSON(line []byte) (e Entry, err error) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		return e, jsonProblem(err)
	}
	if decoder.More() {
		return e, fmt.Errorf("%w: more than one value", ErrEntry)
	}
	if e.Reason != "" {
		e.Reason, err = ParseReason(string(e.Reason))
	}
	return e, err
}

// jsonProblem says what is wrong without a word of the line's but the names of
// fields.
func jsonProblem(err error) error {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.Is(err, mail.ErrAddress), errors.Is(err, ErrHash):
		return err
	case errors.As(err, &wrongType):
		return fmt.Errorf("%w: %s is no %s", ErrEntry, wrongType.Field, wrongType.Type)
	case strings.HasPrefix(err.Error(), "json: unknown field"):
		return fmt.Errorf("%w: it has a field that is none of an entry's", ErrEntry)
	}
	return fmt.Errorf("%w: not JSON as an export writes it", ErrEntry)
}

// isColumn reports whether a text is the name of a column.
func isColumn(text string) bool {
	name := strings.ToLower(strings.TrimSpace(text))
	if name == "email" {
		return true
	}
	for _, column := range columns() {
		if name == column {
			return true
		}
	}
	return false
}

// parseColumns returns the parser of lines under a heading.
func parseColumns(heading []byte) (func([]byte) (Entry, error), error) {
	names, err := splitCSV(heading, nil)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for i, name := range names {
		if !isColumn(name) {
			return nil, fmt.Errorf("%w: column %d of the first line is none of %s", ErrFormat, i+1, strings.Join(columns(), ", "))
		}
		if names[i] = strings.ToLower(strings.TrimSpace(name)); names[i] == "email" {
			names[i] = "address"
		}
		if seen[names[i]] {
			return nil, fmt.Errorf("%w: column %s is there twice", ErrFormat, names[i])
		}
		seen[names[i]] = true
	}
	if !seen["address"] && !seen["hash"] {
		return nil, fmt.Errorf("%w: the first line names neither an address nor a hash column", ErrFormat)
	}
	var fields []string
	return func(line []byte) (e Entry, err error) {
		if fields, err = splitCSV(line, fields[:0]); err != nil {
			return e, err
		}
		if len(fields) != len(names) {
			return e, fmt.Errorf("%w: %d fields instead of %d", ErrEntry, len(fields), len(names))
		}
		for i, name := range names {
			if err := e.set(name, fields[i]); err != nil {
				return e, err
			}
		}
		return e, nil
	}, nil
}

// set reads one column.
func (e *Entry) set(column, text string) (err error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	switch column {
	case "address":
		e.Address, err = mail.ParseAddress(text)
	case "hash":
		e.Hash, err = ParseHash(text)
	case "reason":
		e.Reason, err = ParseReason(text)
	case "stream":
		e.Stream = text
	case "time":
		e.Time, err = parseTime(text)
	case "expires":
		e.Expires, err = parseTime(text)
	}
	return err
}

// parseTime reads a time (RFC 3339), or a day, of which it is the beginning in
// UTC.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: a time is written as 2006-01-02T15:04:05Z or 2006-01-02", ErrEntry)
}

// splitCSV appends the fields of a line (RFC 4180 section 2). A quoted field
// ends on its line.
func splitCSV(line []byte, fields []string) ([]string, error) {
	for {
		if len(line) > 0 && line[0] == '"' {
			field, rest, err := quotedField(line[1:])
			if err != nil {
				return nil, err
			}
			fields = append(fields, field)
			if len(rest) == 0 {
				return fields, nil
			}
			line = rest[1:] // a comma
			continue
		}
		field, rest, more := bytes.Cut(line, []byte{','})
		if bytes.IndexByte(field, '"') >= 0 {
			return nil, fmt.Errorf("%w: a quote inside a field that is not quoted", ErrEntry)
		}
		fields = append(fields, string(field))
		if !more {
			return fields, nil
		}
		line = rest
	}
}

// quotedField returns a field from behind its opening quote, and what follows
// it: nothing, or a comma and more.
func quotedField(line []byte) (field string, rest []byte, err error) {
	var b strings.Builder
	for {
		part, behind, ended := bytes.Cut(line, []byte{'"'})
		b.Write(part)
		switch {
		case !ended:
			return "", nil, fmt.Errorf("%w: a quoted field does not end on its line", ErrEntry)
		case len(behind) > 0 && behind[0] == '"':
			b.WriteByte('"')
			line = behind[1:]
		case len(behind) > 0 && behind[0] != ',':
			return "", nil, fmt.Errorf("%w: text behind a quoted field", ErrEntry)
		default:
			return b.String(), behind, nil
		}
	}
}

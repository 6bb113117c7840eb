package sts

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoRecord: the domain does not say that it has a policy.
var ErrNoRecord = errors.New("no MTA-STS record")

const (
	recordVersion = "v=STSv1"
	maxID         = 32
	maxFieldName  = 32
)

// ParseRecord reads the TXT records of _mta-sts.DOMAIN, each with its strings
// joined, and returns the id of the policy (RFC 8461 section 3.1). Records of
// other kinds do not count; without one that does the error is ErrNoRecord,
// and with several or a malformed one it wraps ErrInvalid.
func ParseRecord(texts []string) (id string, err error) {
	found := ""
	for _, text := range texts {
		if !strings.HasPrefix(text, recordVersion+";") {
			continue
		}
		if found != "" {
			return "", fmt.Errorf("%w: several MTA-STS records", ErrInvalid)
		}
		found = text
	}
	if found == "" {
		return "", ErrNoRecord
	}
	id, err = parseFields(found[len(recordVersion)+1:])
	if err != nil {
		return "", fmt.Errorf("%w: MTA-STS record: %w", ErrInvalid, err)
	}
	return id, nil
}

// parseFields reads what follows "v=STSv1;". Of a repeated field the first
// counts (section 3.2).
func parseFields(text string) (id string, err error) {
	fields := strings.Split(text, ";")
	for i, field := range fields {
		field = strings.Trim(field, " \t")
		if field == "" && i > 0 && i == len(fields)-1 {
			break // a delimiter may end the record
		}
		name, value, _ := strings.Cut(field, "=")
		switch {
		case !isFieldName(name):
			return "", fmt.Errorf("field %d has no name", i+1)
		case name == "id" && id == "":
			if len(value) > maxID || !every(value, isAlphanumeric) {
				return "", errors.New("malformed id")
			}
			id = value
		case !every(value, isRecordChar):
			return "", fmt.Errorf("malformed value in field %d", i+1)
		}
	}
	if id == "" {
		return "", errors.New("no id")
	}
	return id, nil
}

// isFieldName holds for the names that records and policies share.
func isFieldName(s string) bool {
	return s != "" && len(s) <= maxFieldName && isAlphanumeric(s[0]) &&
		every(s, func(c byte) bool { return isAlphanumeric(c) || c == '_' || c == '-' || c == '.' })
}

// every reports whether s has characters, all of them of a kind.
func every(s string, kind func(byte) bool) bool {
	for i := range len(s) {
		if !kind(s[i]) {
			return false
		}
	}
	return s != ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlphanumeric(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// isRecordChar is what the value of an extension in a record is made of.
func isRecordChar(c byte) bool { return ' ' < c && c < 0x7f && c != '=' && c != ';' }

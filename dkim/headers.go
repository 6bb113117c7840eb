package dkim

import (
	"slices"
	"strings"
)

// oversigned lists the header fields that are named once more than they occur,
// so that a second one cannot be added (RFC 6376 section 5.4 and 8.15): those
// that readers see or that clients act on.
func oversigned() []string {
	return []string{
		"From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "Sender",
		"In-Reply-To", "References", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
		"List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Feedback-ID",
	}
}

// signedIfPresent lists the other fields of RFC 6376 section 5.4.1 and those
// that feedback loops ask for (RFC 9477). Fields that servers add or change on
// the way, such as Received and Return-Path, are in neither list.
func signedIfPresent() []string {
	return []string{
		"Content-ID", "Content-Description", "Content-Disposition",
		"List-Help", "List-Subscribe", "List-Post", "List-Owner", "List-Archive",
		"Resent-From", "Resent-To", "Resent-Cc", "Resent-Date", "Resent-Message-ID", "Resent-Sender",
		"Auto-Submitted", "Precedence", "CFBL-Address", "CFBL-Feedback-ID",
	}
}

// signedName is a header field's name as h= has it and in lower case.
type signedName struct {
	written, lower string
	// more is how many times it is named beyond its occurrences.
	more int
}

func signedNames() []signedName {
	var names []signedName
	for _, name := range oversigned() {
		names = append(names, signedName{name, strings.ToLower(name), 1})
	}
	for _, name := range signedIfPresent() {
		names = append(names, signedName{name, strings.ToLower(name), 0})
	}
	return names
}

// selection is what of a header is signed: the names for h= and the fields in
// the order in which they are hashed.
type selection struct {
	names  []string
	fields []field
}

// selectFields takes the last occurrence of each name first (RFC 6376 section
// 5.4.2).
func selectFields(fields []field, names []signedName) selection {
	byName := make(map[string][]field, len(fields))
	for _, f := range fields {
		byName[f.name] = append(byName[f.name], f)
	}
	var s selection
	for _, name := range names {
		occurrences := byName[name.lower]
		for _, f := range slices.Backward(occurrences) {
			s.fields = append(s.fields, f)
		}
		for range len(occurrences) + name.more {
			s.names = append(s.names, name.written)
		}
	}
	return s
}

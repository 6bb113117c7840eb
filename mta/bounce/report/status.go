package report

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/postrider-mta/postrider/mta/bounce"
)

// hasRecipient reports a delivery-status with at least one recipient's field.
func hasRecipient(content []byte) bool {
	for len(content) > 0 {
		var line []byte
		line, content = cutLine(content)
		if name, _, ok := cutField(bytes.TrimSpace(line)); ok && ofRecipient(name) {
			return true
		}
	}
	return false
}

// ofRecipient reports the fields that belong to one recipient (RFC 3464 section
// 2.3). The first of them begins a recipient, and so does one that was there
// already: some leave the empty line out.
func ofRecipient(name string) bool {
	switch strings.ToLower(name) {
	case "final-recipient", "original-recipient", "action", "status":
		return true
	}
	return false
}

// readStatus reads the groups of fields of a delivery-status (RFC 3464 section
// 2.1) into the report.
func readStatus(content []byte, r *Report) {
	for len(content) > 0 && len(r.Recipients) <= maxRecipients {
		var group Fields
		group, content = readFields(content)
		readGroup(group, r)
	}
}

func readGroup(group Fields, r *Report) {
	if group.Has("Reporting-MTA") || group.Has("Original-Envelope-Id") {
		r.ReportingMTA = orElse(r.ReportingMTA, group.Get("Reporting-MTA"))
		r.EnvelopeID = orElse(r.EnvelopeID, group.Get("Original-Envelope-Id"))
	}
	var own Fields
	for _, field := range group {
		if ofRecipient(field.Name) && own.Has(field.Name) {
			addRecipient(own, r)
			own = nil
		}
		own = append(own, field)
	}
	addRecipient(own, r)
}

func orElse(first, second string) string {
	if first == "" {
		return second
	}
	return first
}

// addRecipient adds a recipient that the fields name. A status without one
// speaks of nobody.
func addRecipient(fields Fields, r *Report) {
	final, original := fields.Get("Final-Recipient"), fields.Get("Original-Recipient")
	if final == "" && original == "" {
		return
	}
	status, comment := cutStatus(fields.Get("Status"))
	r.Recipients = append(r.Recipients, Recipient{
		Address:        chooseAddress(final, original),
		FinalRecipient: final, OriginalRecipient: original,
		Action: readAction(fields.Get("Action")),
		Status: status, StatusComment: comment,
		Diagnostic: limit(fields.Get("Diagnostic-Code"), maxDiagnostic),
		RemoteMTA:  fields.Get("Remote-MTA"),
	})
}

// chooseAddress takes the final recipient, or the original one where only that
// is an address.
func chooseAddress(final, original string) string {
	address := typedAddress(final)
	if other := typedAddress(original); address == "" || !strings.Contains(address, "@") && strings.Contains(other, "@") {
		return other
	}
	return address
}

// typedAddress takes the address out of "type; address" (RFC 3464 section
// 2.3.1), and the brackets off.
func typedAddress(value string) string {
	kind, address, ok := strings.Cut(value, ";")
	if !ok {
		kind, address = "", value
	}
	address = strings.TrimSpace(address)
	if inner, ok := strings.CutPrefix(address, "<"); ok {
		address = strings.TrimSpace(strings.TrimSuffix(inner, ">"))
	}
	if strings.EqualFold(strings.TrimSpace(kind), "utf-8") {
		address = unescapeUTF8(address)
	}
	return address
}

// unescapeUTF8 undoes \x{HEX} (RFC 6533 section 3). What is no such escape stays
// as it is.
func unescapeUTF8(text string) string {
	var out strings.Builder
	for {
		before, after, ok := strings.Cut(text, `\x{`)
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		hex, rest, ok := strings.Cut(after, "}")
		n, err := strconv.ParseUint(hex, 16, 21)
		if !ok || err != nil || !utf8.ValidRune(rune(n)) || n < ' ' || n == 0x7f {
			out.WriteString(`\x{`)
			text = after
			continue
		}
		out.WriteRune(rune(n))
		text = rest
	}
}

// readAction reads one of the five actions; others are none.
func readAction(value string) bounce.Action {
	word, _, _ := strings.Cut(strings.TrimSpace(strings.ToLower(value)), " ")
	switch action := bounce.Action(strings.TrimRight(word, ";,.(")); action {
	case bounce.Failed, bounce.Delayed, bounce.Delivered, bounce.Relayed, bounce.Expanded:
		return action
	}
	return ""
}

// cutStatus splits "5.1.1 (comment)".
func cutStatus(value string) (code, comment string) {
	code, comment, _ = strings.Cut(strings.TrimSpace(value), " ")
	return code, strings.TrimSpace(comment)
}

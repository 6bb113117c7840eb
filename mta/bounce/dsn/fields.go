package dsn

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
)

// status writes the fields for programs (RFC 3464 section 2).
func (w *writer) status() []byte {
	n := w.notice
	f := fieldWriter{unicode: w.global()}
	f.field("Reporting-MTA", "dns; "+string(n.Host))
	f.field("Original-Envelope-Id", n.Envelope.ID)
	if !n.Arrival.IsZero() {
		f.field("Arrival-Date", date(n.Arrival))
	}
	for _, o := range n.Outcomes {
		f.out.WriteString("\r\n")
		f.recipient(o)
	}
	return f.out.Bytes()
}

func (f *fieldWriter) recipient(o Outcome) {
	if o.Recipient.Original != "" {
		f.field("Original-Recipient", f.typed(orElse(o.Recipient.OriginalType, "rfc822"), o.Recipient.Original))
	}
	f.field("Final-Recipient", f.typed("rfc822", o.Recipient.Address.String()))
	f.field("Action", string(o.Action))
	f.field("Status", status(o).String())
	if o.RemoteMTA != "" {
		f.field("Remote-MTA", "dns; "+o.RemoteMTA)
	}
	if !o.Reply.IsZero() {
		f.field("Diagnostic-Code", "smtp; "+o.Reply.String())
	} else if o.Reason != "" {
		f.field("Diagnostic-Code", "x-postrider; "+o.Reason)
	}
	if !o.LastAttempt.IsZero() {
		f.field("Last-Attempt-Date", date(o.LastAttempt))
	}
	if o.Action == bounce.Delayed && !o.RetryUntil.IsZero() {
		f.field("Will-Retry-Until", date(o.RetryUntil))
	}
}

func orElse(first, second string) string {
	if first == "" {
		return second
	}
	return first
}

// status returns the code to write: the given one, that of the reply where it
// fits, or the most general one.
func status(o Outcome) mail.EnhancedCode {
	class := 2
	switch o.Action {
	case bounce.Failed:
		class = 5
		if o.Reply.Code/100 == 4 {
			class = 4 // tried until it expired
		}
	case bounce.Delayed:
		class = 4
	}
	switch {
	case !o.Status.IsZero():
		return o.Status
	case o.Reply.Enhanced.Class == class:
		return o.Reply.Enhanced
	}
	return mail.EnhancedCode{Class: class}
}

// fieldWriter writes header fields. Whatever it is given, one field is one
// field.
type fieldWriter struct {
	out bytes.Buffer
	// unicode lets characters beyond ASCII pass.
	unicode bool
}

const (
	// maxValue keeps a value that cannot be folded within a line (RFC 5322
	// section 2.1.1).
	maxValue = 900
	// column is where lines are folded.
	column = 78
)

// field writes a field, folded between words; none where the value is empty.
func (f *fieldWriter) field(name, value string) {
	words := strings.Fields(printable(value, f.unicode))
	if len(words) == 0 {
		return
	}
	f.out.WriteString(name + ":")
	at, left := len(name)+1, maxValue
	for _, word := range words {
		word = cut(word, left)
		if left -= len(word) + 1; word == "" {
			break
		}
		if at+1+len(word) > column && at > len(name)+1 {
			f.out.WriteString("\r\n")
			at = 0
		}
		f.out.WriteString(" " + word)
		at += 1 + len(word)
	}
	f.out.WriteString("\r\n")
}

// cut shortens text to n octets at most, between characters.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:max(n, 0)], "")
}

// typed writes "type; address". An address beyond ASCII is of the type utf-8
// and escaped where it may not stand as it is (RFC 6533 section 3).
func (f *fieldWriter) typed(kind, address string) string {
	if mail.IsASCII(address) && !strings.EqualFold(kind, "utf-8") {
		return kind + "; " + address
	}
	if f.unicode {
		return "utf-8; " + address
	}
	return "utf-8; " + escapeUTF8(address)
}

// escapeUTF8 writes as \x{HEX} what RFC 6533's utf-8-addr-xtext cannot hold.
func escapeUTF8(text string) string {
	var out strings.Builder
	for _, r := range text {
		if r <= ' ' || r >= 0x7f || r == '\\' || r == '+' || r == '=' {
			fmt.Fprintf(&out, `\x{%X}`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

// printable makes text safe in a field or a line.
func printable(text string, unicode bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029':
			return ' '
		case r >= 0x80 && !unicode:
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

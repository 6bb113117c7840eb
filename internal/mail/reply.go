package mail

import (
	"fmt"
	"strconv"
	"strings"
)

// Reply is an answer in SMTP, ours or a remote server's, from the wire to the
// event.
type Reply struct {
	// Code is the reply code (RFC 5321 section 4.2.1).
	Code int `json:"code"`
	// Enhanced is the enhanced status code (RFC 3463); zero when there is none.
	Enhanced EnhancedCode `json:"enhanced,omitzero"`
	// Text is the human-readable rest, its lines joined by a space.
	Text string `json:"text,omitempty"`
}

// Positive reports a 2xx.
func (r Reply) Positive() bool { return r.Code/100 == 2 }

// Permanent reports a 5xx. Whatever is neither positive nor permanent is
// temporary: an unknown answer must never lose a message.
func (r Reply) Permanent() bool { return r.Code/100 == 5 }

// Temporary reports every reply that is neither positive nor permanent.
func (r Reply) Temporary() bool { return !r.Positive() && !r.Permanent() }

// IsZero reports that there was no reply.
func (r Reply) IsZero() bool { return r == Reply{} }

// String returns the reply as one line.
func (r Reply) String() string {
	parts := []string{strconv.Itoa(r.Code)}
	if !r.Enhanced.IsZero() {
		parts = append(parts, r.Enhanced.String())
	}
	if r.Text != "" {
		parts = append(parts, r.Text)
	}
	return strings.Join(parts, " ")
}

// EnhancedCode is class, subject and detail of RFC 3463.
type EnhancedCode struct{ Class, Subject, Detail int }

// ParseEnhancedCode reads d.d.d with a class of 2, 4 or 5 and at most three
// digits in the others.
func ParseEnhancedCode(s string) (EnhancedCode, bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return EnhancedCode{}, false
	}
	var n [3]int
	for i, part := range parts {
		if part == "" || len(part) > 3 || strings.Trim(part, "0123456789") != "" {
			return EnhancedCode{}, false
		}
		n[i], _ = strconv.Atoi(part)
	}
	if len(parts[0]) != 1 || n[0] != 2 && n[0] != 4 && n[0] != 5 {
		return EnhancedCode{}, false
	}
	return EnhancedCode{n[0], n[1], n[2]}, true
}

// IsZero reports that there is no enhanced code.
func (e EnhancedCode) IsZero() bool { return e == EnhancedCode{} }

// String returns the dotted form, or nothing for the zero code.
func (e EnhancedCode) String() string {
	if e.IsZero() {
		return ""
	}
	b, _ := e.AppendText(nil)
	return string(b)
}

// AppendText appends the dotted form, of the zero code too.
func (e EnhancedCode) AppendText(b []byte) ([]byte, error) {
	b = strconv.AppendInt(b, int64(e.Class), 10)
	b = strconv.AppendInt(append(b, '.'), int64(e.Subject), 10)
	return strconv.AppendInt(append(b, '.'), int64(e.Detail), 10), nil
}

// MarshalText returns String.
func (e EnhancedCode) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (e *EnhancedCode) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*e = EnhancedCode{}
		return nil
	}
	parsed, ok := ParseEnhancedCode(string(text))
	if !ok {
		return fmt.Errorf("invalid enhanced status code %q", text)
	}
	*e = parsed
	return nil
}

// Scope says how far a failure reaches. It is kept apart from its cause so
// that one bad recipient never throttles a site and one dead site never
// bounces a message.
type Scope uint8

const (
	// ScopeRecipient ends or delays one recipient.
	ScopeRecipient Scope = iota
	// ScopeMessage ends or delays one message at this site.
	ScopeMessage
	// ScopeSession ends one connection; what it carried is tried again.
	ScopeSession
	// ScopeSite speaks of the whole site: it throttles it.
	ScopeSite
)

// String returns the scope's name.
func (s Scope) String() string {
	switch s {
	case ScopeRecipient:
		return "recipient"
	case ScopeMessage:
		return "message"
	case ScopeSession:
		return "session"
	case ScopeSite:
		return "site"
	}
	return "scope " + strconv.Itoa(int(s))
}

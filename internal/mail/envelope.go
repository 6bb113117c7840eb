package mail

import (
	"fmt"
	"strings"
)

// Envelope is what MAIL FROM says of a message.
type Envelope struct {
	// From is the reverse-path; zero for the null one.
	From Address `json:"from"`
	// EightBit is BODY=8BITMIME (RFC 6152): the content has octets above 127.
	EightBit bool `json:"eight_bit,omitempty"`
	// SMTPUTF8 asks for internationalised mail (RFC 6531).
	SMTPUTF8 bool `json:"smtputf8,omitempty"`
	// RequireTLS is REQUIRETLS (RFC 8689): only under TLS to a server that proved
	// who it is, and hands the demand on.
	RequireTLS bool `json:"require_tls,omitempty"`
	// WaiveTLS is what the message's field TLS-Required: No asks for (RFC 8689
	// section 5): to arrive matters more than the TLS policies of the recipient's
	// domain. It is never set beside RequireTLS.
	WaiveTLS bool `json:"waive_tls,omitempty"`
	// Return is RET (RFC 3461 section 4.3): FULL, HDRS or empty.
	Return string `json:"return,omitempty"`
	// ID is ENVID (RFC 3461 section 4.4), decoded.
	ID string `json:"id,omitempty"`
}

// Recipient is what one RCPT TO says.
type Recipient struct {
	Address Address `json:"address"`
	// Notify is NOTIFY (RFC 3461 section 4.1); zero when it was not given.
	Notify Notify `json:"notify,omitzero"`
	// OriginalType and Original are ORCPT (RFC 3461 section 4.2): the address
	// type, such as rfc822, and the decoded address.
	OriginalType string `json:"original_type,omitempty"`
	Original     string `json:"original,omitempty"`
}

// Notify is a set of conditions under which the sender wants a DSN.
type Notify uint8

const (
	// NotifyNever excludes the others.
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

func notifyNames() []string { return []string{"NEVER", "SUCCESS", "FAILURE", "DELAY"} }

// ParseNotify reads the comma-separated value of NOTIFY.
func ParseNotify(s string) (Notify, error) {
	var n Notify
	for word := range strings.SplitSeq(s, ",") {
		bit, ok := notifyBit(word)
		if !ok || n&bit != 0 {
			return 0, fmt.Errorf("invalid NOTIFY value %q", word)
		}
		n |= bit
	}
	if n&NotifyNever != 0 && n != NotifyNever {
		return 0, fmt.Errorf("NOTIFY=NEVER excludes the other values")
	}
	return n, nil
}

func notifyBit(word string) (Notify, bool) {
	for i, name := range notifyNames() {
		if strings.EqualFold(word, name) {
			return 1 << i, true
		}
	}
	return 0, false
}

// String returns the value of NOTIFY, empty for the zero set.
func (n Notify) String() string {
	var words []string
	for i, name := range notifyNames() {
		if n&(1<<i) != 0 {
			words = append(words, name)
		}
	}
	return strings.Join(words, ",")
}

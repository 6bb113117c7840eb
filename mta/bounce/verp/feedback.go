package verp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Names of the header fields by which receivers group and return complaints.
// They count only where a DKIM signature covers them.
const (
	FeedbackIDField     = "Feedback-ID"
	CFBLAddressField    = "CFBL-Address"
	CFBLFeedbackIDField = "CFBL-Feedback-ID"
)

// ErrFeedbackID: a Feedback-ID that Google would not use.
var ErrFeedbackID = errors.New("invalid Feedback-ID")

const (
	// minSender and maxSender are Google's bounds on the last part.
	minSender, maxSender = 5, 15
	// maxPart keeps the field on one line.
	maxPart = 64
)

// FeedbackID is the value of a Feedback-ID field: three parts that the sender
// chooses, from the narrowest to the widest, and who sends. Google counts
// complaints by each of them.
type FeedbackID struct {
	Campaign, Stream, Tenant string
	// Sender is 5 to 15 characters, the same on all mail.
	Sender string
}

// String returns the value, with what would break the form made a hyphen.
func (f FeedbackID) String() string {
	return strings.Join([]string{cleanPart(f.Campaign), cleanPart(f.Stream), cleanPart(f.Tenant), cleanPart(f.Sender)}, ":")
}

// Check reports a sender that cannot be counted by.
func (f FeedbackID) Check() error {
	if len(f.Sender) < minSender || len(f.Sender) > maxSender || cleanPart(f.Sender) != f.Sender {
		return fmt.Errorf("%w: the sender is 5 to 15 letters, digits, dots, hyphens or underscores", ErrFeedbackID)
	}
	return nil
}

// ParseFeedbackID reads a value of four parts, of which any but the last may be
// empty.
func ParseFeedbackID(value string) (FeedbackID, error) {
	parts := strings.Split(strings.TrimSpace(value), ":")
	if len(parts) != 4 {
		return FeedbackID{}, fmt.Errorf("%w: %d parts instead of 4", ErrFeedbackID, len(parts))
	}
	f := FeedbackID{Campaign: parts[0], Stream: parts[1], Tenant: parts[2], Sender: parts[3]}
	if f.String() != strings.TrimSpace(value) {
		return FeedbackID{}, fmt.Errorf("%w: characters or length", ErrFeedbackID)
	}
	return f, f.Check()
}

func cleanPart(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, s)
	return s[:min(len(s), maxPart)]
}

// CFBLAddress returns the value of a CFBL-Address field (RFC 9477 section 3.1)
// that asks for ARF.
func CFBLAddress(to mail.Address) string { return to.String() + "; report=arf" }

// ParseCFBLAddress reads the value of a CFBL-Address field: the address and the
// format wanted, arf where none is named.
func ParseCFBLAddress(value string) (to mail.Address, format string, err error) {
	address, parameter, found := strings.Cut(value, ";")
	if to, err = mail.ParseAddress(strings.TrimSpace(address)); err != nil {
		return mail.Address{}, "", err
	}
	if !found {
		return to, "arf", nil
	}
	name, format, _ := strings.Cut(parameter, "=")
	format = strings.ToLower(strings.TrimSpace(format))
	if !strings.EqualFold(strings.TrimSpace(name), "report") || format != "arf" && format != "xarf" {
		return mail.Address{}, "", errors.New("invalid CFBL-Address: report is arf or xarf")
	}
	return to, format, nil
}

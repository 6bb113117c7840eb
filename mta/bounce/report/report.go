package report

import (
	"github.com/postrider-mta/postrider/mta/bounce"
)

// Kind is what a message turned out to be.
type Kind string

const (
	// DSN says what became of a message: a delivery status notification, or a
	// bounce in somebody's own words.
	DSN Kind = "dsn"
	// ARF is a complaint or another report in the abuse reporting format.
	ARF Kind = "arf"
	// AutoReply was sent by a machine that answers for its owner: out of office,
	// challenges, read receipts.
	AutoReply Kind = "auto-reply"
	// Other is everything else.
	Other Kind = "other"
)

// Report is what was read of one message.
type Report struct {
	Kind Kind
	// Sign names what told the kind, such as a header field. It never holds
	// text of the message.
	Sign string
	// Standard reports that the recipients come from fields made for programs,
	// such as those of RFC 3464, and not from words.
	Standard bool
	// ReportingMTA and EnvelopeID are fields of the whole report; empty when
	// absent (RFC 3464 sections 2.2.1 and 2.2.2).
	ReportingMTA, EnvelopeID string
	// Recipients are those of a DSN, in order, at most 1000.
	Recipients []Recipient
	// Feedback is there for ARF alone.
	Feedback *Feedback
	// Original is what the report gives back of the message that it is about.
	Original Original
	// Header is that of the report itself.
	Header Fields
	// Truncated reports that a bound was met and something was not read.
	Truncated bool
}

// Recipient is what a report says of one address.
type Recipient struct {
	// Address is the final recipient without its type and brackets, or the
	// original one where the final one is no address. It is text of a stranger
	// and need not be an address.
	Address string
	// FinalRecipient and OriginalRecipient are the fields as they came, with
	// their types; empty when absent.
	FinalRecipient, OriginalRecipient string
	Action                            bounce.Action
	// Status is the code of RFC 3463 alone, StatusComment what stood behind it.
	Status, StatusComment string
	// Diagnostic is the Diagnostic-Code field as it came or, where there is
	// none, what the report says of this recipient in words.
	Diagnostic string
	// RemoteMTA as it came; empty when absent.
	RemoteMTA string

	Verdict
}

// Verdict is what we make of it.
type Verdict struct {
	Category bounce.Category
	// Rule is the line of the classifier's table that decided, if one did.
	Rule string
	// Bounce is hard when the address is no good, soft for every other failure
	// and delay, and empty where mail arrived.
	Bounce Strength
	// Suppresses reports that the address should get no more mail on the word
	// of this report, if the report is about our message to it.
	Suppresses bool
}

// Strength is hard, soft, or nothing.
type Strength string

const (
	// Hard: the address does not exist.
	Hard Strength = "hard"
	// Soft: another failure, which may pass or is not the address's.
	Soft Strength = "soft"
)

// Original is what came back of the message that a report is about.
type Original struct {
	// Header is its header, as far as it was returned.
	Header Fields
	// MessageID is without its angle brackets, ReturnPath without them too.
	MessageID, ReturnPath string
	// FeedbackID, CFBLAddress and CFBLFeedbackID are those fields (RFC 9477).
	FeedbackID, CFBLAddress, CFBLFeedbackID string
}

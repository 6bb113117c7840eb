package bounce

// Category is what a negative reply is about.
type Category string

const (
	// InvalidRecipient: the mailbox or its domain does not exist.
	InvalidRecipient Category = "invalid_recipient"
	// MailboxFull: the mailbox exists and has no room.
	MailboxFull Category = "mailbox_full"
	// Inactive: the account exists and is disabled, suspended or moved on; it
	// may come back.
	Inactive Category = "inactive"
	// Policy: the receiver does not want such mail: content, attachment, sender
	// or rule of its own.
	Policy Category = "policy"
	// Spam: the message or the sender's reputation.
	Spam Category = "spam"
	// Blocklist: the sending address is listed or blocked.
	Blocklist Category = "blocklist"
	// Authentication: SPF, DKIM, DMARC, reverse DNS, or our log-in at a relay.
	Authentication Category = "authentication"
	// RateLimit: too much at once or too often.
	RateLimit Category = "rate_limit"
	// Greylisting: a first attempt is always turned away.
	Greylisting Category = "greylisting"
	// Routing: relaying denied, loops, and hosts that cannot be reached.
	Routing Category = "routing"
	// System: trouble of the remote system that says nothing of us.
	System Category = "system"
	// Protocol: a command or the form of the message was not understood.
	Protocol Category = "protocol"
	// TLS: encryption is missing or failed.
	TLS Category = "tls"
	// Size: the message is too large.
	Size Category = "size"
	// Unknown: nothing else fits.
	Unknown Category = "unknown"
)

// Class is what a negative reply means.
type Class struct {
	Category Category
	// Permanent says that the recipient must not be tried again with this
	// message; otherwise the attempt is repeated.
	Permanent bool
	// Rule names the line of the table that decided; empty where none did.
	Rule string
}

// SpeaksOfAddress reports whether the reply says that there is no such address.
// Only a permanent one of these may suppress it at once: full and inactive
// mailboxes come back, and everything else is about the sender, the message or
// the way.
func (c Class) SpeaksOfAddress() bool { return c.Category == InvalidRecipient }

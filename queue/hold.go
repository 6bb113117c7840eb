package queue

import "time"

// Hold is a rule that keeps recipients from being offered, those that wait now
// and those accepted later, until it is released.
type Hold struct {
	ID       ID
	Selector Selector
	// Reason is the operator's, for whoever asks why a message waits.
	Reason string
	// Since is when the rule was made.
	Since time.Time
}

// Usage is what a tenant has waiting.
type Usage struct {
	// Messages that are owed to at least one recipient, and their Bytes: the
	// sum of their sizes, each counted once.
	Messages, Bytes int64
}

// OfQueues reports whether the selector chooses whole queues: it names no
// message, no recipient and no campaign.
func (s Selector) OfQueues() bool {
	return s.Message.IsZero() && s.Recipient.IsZero() && s.Campaign == ""
}

// MatchKey reports whether a queue may hold what is selected; if OfQueues, all
// that it holds is.
func (s Selector) MatchKey(k Key) bool {
	return (s.Tenant == "" || s.Tenant == k.Tenant) && (s.Stream == "" || s.Stream == k.Stream) &&
		(s.Domain == "" || s.Domain == k.Domain) &&
		(s.Recipient.IsZero() || s.Recipient.Domain() == k.Domain)
}

// Expired reports whether all attempts for the message have ended by now.
func (m *Message) Expired(now time.Time) bool {
	return !m.Expires.IsZero() && !m.Expires.After(now)
}

package bulk

import "github.com/postrider-mta/postrider/internal/account"

// Rule names what a message must be like. The names are those of the
// configuration, of replies and of metrics.
type Rule string

const (
	// From: one mailbox in one From (RFC 5322 section 3.6.2).
	From Rule = "from"
	// Impersonation: no From at a provider of mailboxes for everybody.
	Impersonation Rule = "impersonation"
	// DKIMAlignment: a signature whose domain aligns with From (RFC 7489
	// section 3.1.1).
	DKIMAlignment Rule = "dkim_alignment"
	// SingleFields: no field twice that RFC 5322 section 3.6 allows once.
	SingleFields Rule = "single_fields"
	// MessageID and Date: readable where they are given.
	MessageID Rule = "message_id"
	Date      Rule = "date"
	// OneClick: RFC 8058, from the author or added by the stream.
	OneClick Rule = "one_click"
	// FeedbackID: of the form that Google counts by, where it is given.
	FeedbackID Rule = "feedback_id"
	// UnsubscribeLink: something in the text that looks like a way out.
	UnsubscribeLink Rule = "unsubscribe_link"
	// Size: no more than the stream allows.
	Size Rule = "size"
	// HTMLSize: no more HTML than Gmail shows.
	HTMLSize Rule = "html_size"
)

// Rules are all rules, in the order in which they are looked at.
func Rules() []Rule {
	return []Rule{From, Impersonation, DKIMAlignment, SingleFields, MessageID, Date, OneClick, FeedbackID, UnsubscribeLink, Size, HTMLSize}
}

// advisory rules are of taste, or cannot be judged for sure: they refuse
// nothing unless asked to by name.
func (r Rule) advisory() bool { return r == UnsubscribeLink || r == HTMLSize }

// Levels are what follows from each rule that is looked at: what is said of it
// by name, or else of all. Nil where none is.
func Levels(all account.Check, named map[Rule]account.Check) map[string]account.Check {
	var levels map[string]account.Check
	for _, rule := range Rules() {
		level, ok := named[rule]
		if !ok {
			if level = all; rule.advisory() {
				level = min(level, account.CheckWarn)
			}
		}
		if level == account.CheckOff {
			continue
		}
		if levels == nil {
			levels = map[string]account.Check{}
		}
		levels[string(rule)] = level
	}
	return levels
}

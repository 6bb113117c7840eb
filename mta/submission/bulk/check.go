package bulk

import (
	"fmt"
	netmail "net/mail"
	"net/url"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Field is one header field.
type Field struct {
	Name string
	// Value is unfolded (RFC 5322 section 2.2.3).
	Value string
}

// Message is what is looked at.
type Message struct {
	// Fields are the header, From the mailboxes in its From.
	Fields []Field
	From   []mail.Address
	// Octets are header and content.
	Octets []byte
	// Aligned reports whether mail from a domain gets a DKIM signature that
	// aligns with it; nil for no.
	Aligned func(from mail.Domain) bool
	// AddsUnsubscribe says that the fields of RFC 8058 are added where there are
	// none.
	AddsUnsubscribe bool
	// MaxSize in octets; zero for no limit.
	MaxSize int64
}

// Finding is a rule that a message breaks.
type Finding struct {
	Rule Rule
	// Text says what is wrong and what to do about it. It names no address.
	Text string
}

// Check returns the findings of the rules wanted, in the order of Rules.
func Check(m Message, wanted func(Rule) bool) []Finding {
	var findings []Finding
	content := contentOf(m.Octets)
	for _, rule := range Rules() {
		if !wanted(rule) {
			continue
		}
		if text := m.judge(rule, content); text != "" {
			findings = append(findings, Finding{rule, text})
		}
	}
	return findings
}

// judge returns what is wrong; nothing where the rule is kept.
func (m *Message) judge(rule Rule, content func() content) string {
	switch rule {
	case From:
		return m.oneFrom()
	case Impersonation:
		return m.impersonation()
	case DKIMAlignment:
		return m.alignment()
	case SingleFields:
		return m.singles()
	case MessageID:
		return m.messageID()
	case Date:
		return m.date()
	case OneClick:
		return m.oneClick()
	case FeedbackID:
		return m.feedbackID()
	case UnsubscribeLink:
		return content().unsubscribeLink()
	case Size:
		return m.size()
	case HTMLSize:
		return content().htmlSize()
	}
	return ""
}

// values are those of the fields of a name, the empty ones left out.
func (m *Message) values(name string) (all []string) {
	for _, f := range m.Fields {
		if value := strings.TrimSpace(f.Value); strings.EqualFold(f.Name, name) && value != "" {
			all = append(all, value)
		}
	}
	return all
}

func (m *Message) oneFrom() string {
	if len(m.From) == 1 {
		return ""
	}
	return fmt.Sprintf("From holds %d mailboxes that can be read: write exactly one", len(m.From))
}

// impersonation is about domains whose DMARC policy has others refuse or hide
// mail that comes from elsewhere.
func (m *Message) impersonation() string {
	for _, from := range m.From {
		domain := from.Domain()
		if forEverybody(domain) && (m.Aligned == nil || !m.Aligned(domain)) {
			return fmt.Sprintf("From is at %s, for which only its provider sends: write from a domain of your own", domain)
		}
	}
	return ""
}

// forEverybody reports a domain at which everybody may have a mailbox.
func forEverybody(domain mail.Domain) bool {
	switch domain {
	case "gmail.com", "googlemail.com", "ymail.com", "rocketmail.com", "aol.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "icloud.com", "me.com", "mac.com":
		return true
	}
	return strings.HasPrefix(string(domain), "yahoo.")
}

func (m *Message) alignment() string {
	for _, from := range m.From {
		if m.Aligned == nil || !m.Aligned(from.Domain()) {
			return fmt.Sprintf("there is no DKIM key that aligns with %s: have one made, and its record published", from.Domain())
		}
	}
	return ""
}

// singles are the fields that RFC 5322 section 3.6 allows once, Bcc aside,
// which is taken out.
func singles() []string {
	return []string{"From", "Sender", "Reply-To", "To", "Cc", "Message-ID", "In-Reply-To", "References", "Subject", "Date"}
}

func (m *Message) singles() string {
	for _, name := range singles() {
		n := 0
		for _, f := range m.Fields {
			if strings.EqualFold(f.Name, name) {
				n++
			}
		}
		if n > 1 {
			return fmt.Sprintf("there are %d %s fields: write one", n, name)
		}
	}
	return ""
}

// messageID is about one that is given; a missing one is added.
func (m *Message) messageID() string {
	for _, id := range m.values("Message-ID") {
		inner := strings.TrimSuffix(strings.TrimPrefix(id, "<"), ">")
		left, right, found := strings.Cut(inner, "@")
		if len(id) != len(inner)+2 || !found || left == "" || right == "" || strings.ContainsFunc(inner, notInID) {
			return "Message-ID cannot be read: write it as RFC 5322 section 3.6.4 has it, or leave it out and it is added"
		}
	}
	return ""
}

// notInID is about the characters of msg-id (RFC 5322 section 3.6.4), without
// what nobody writes.
func notInID(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>()[]\,;"`, r) }

func (m *Message) date() string {
	for _, date := range m.values("Date") {
		if _, err := netmail.ParseDate(date); err != nil {
			return "Date cannot be read: write it as RFC 5322 has it, or leave it out and it is added"
		}
	}
	return ""
}

// oneClick: where the author wrote one of the fields, none is added.
func (m *Message) oneClick() string {
	targets, posts := m.values("List-Unsubscribe"), m.values("List-Unsubscribe-Post")
	const written = "write List-Unsubscribe with one https URL and List-Unsubscribe-Post: List-Unsubscribe=One-Click (RFC 8058)"
	switch {
	case len(targets)+len(posts) == 0 && m.AddsUnsubscribe:
		return ""
	case len(targets) == 0:
		return "List-Unsubscribe is missing: " + written
	case len(targets) > 1 || len(posts) > 1:
		return "List-Unsubscribe or List-Unsubscribe-Post is there twice: " + written
	case secureTargets(targets[0]) != 1:
		return "List-Unsubscribe has not exactly one https URL: " + written
	case len(posts) == 0 || !strings.EqualFold(posts[0], "List-Unsubscribe=One-Click"):
		return "List-Unsubscribe-Post is missing or says something else: " + written
	}
	return ""
}

// secureTargets counts the https URLs of a List-Unsubscribe (RFC 2369 section
// 2).
func secureTargets(value string) (n int) {
	for item := range strings.SplitSeq(value, "<") {
		target, _, closed := strings.Cut(item, ">")
		if u, err := url.Parse(strings.Join(strings.Fields(target), "")); closed && err == nil && strings.EqualFold(u.Scheme, "https") && u.Host != "" {
			n++
		}
	}
	return n
}

// Google's bounds on the last part of Feedback-ID.
const (
	minSender, maxSender = 5, 15
	maxParts             = 4
)

// feedbackID is about one that is given.
func (m *Message) feedbackID() string {
	ids := m.values("Feedback-ID")
	if len(ids) > 1 {
		return fmt.Sprintf("there are %d Feedback-ID fields: write one", len(ids))
	}
	for _, id := range ids {
		parts := strings.Split(id, ":")
		sender := parts[len(parts)-1]
		bad := strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })
		if bad || len(parts) > maxParts || len(sender) < minSender || len(sender) > maxSender {
			return "Feedback-ID cannot be counted by: write up to four parts with colons between them, the last one of 5 to 15 characters and the same on all mail"
		}
	}
	return ""
}

func (m *Message) size() string {
	if m.MaxSize <= 0 || int64(len(m.Octets)) <= m.MaxSize {
		return ""
	}
	return fmt.Sprintf("the message has %d octets, %d are allowed on this stream", len(m.Octets), m.MaxSize)
}

package report

import "strings"

// automatic names the sign by which a message is a machine's reply; empty where
// there is none. Fields come before the subject.
func (p *Parser) automatic(n *notice) string {
	if sign := p.challenge(n); sign != "" {
		return sign
	}
	if sign := automaticField(n.header); sign != "" {
		return sign
	}
	if p.patterns.autoSubject.MatchString(strings.TrimSpace(n.subject)) {
		return "subject"
	}
	return ""
}

// automaticField looks for what RFC 3834 section 5 asks for and for what came
// before it.
func automaticField(h Fields) string {
	reply := h.Has("In-Reply-To") || h.Has("References") || nullReturn(h)
	submitted := strings.ToLower(h.Get("Auto-Submitted"))
	switch {
	case strings.HasPrefix(submitted, "auto-replied"),
		strings.HasPrefix(submitted, "auto-generated") && (reply || h.Has("X-Auto-Response-Suppress")):
		return "Auto-Submitted"
	case h.Has("X-Auto-Response-Suppress") && reply:
		return "X-Auto-Response-Suppress"
	}
	for _, name := range []string{
		"X-Autoreply", "X-Auto-Reply", "X-Autoreply-From", "X-Auto-Reply-From", "X-Autoreply-Domain", "X-Autorespond", "X-Autoresponder",
		"X-Autoresponse", "X-Auto-Response", "X-Mail-Autoreply", "X-Vacation", "X-Amazon-Auto-Reply",
	} {
		if value := h.Get(name); value != "" && !strings.EqualFold(value, "no") {
			return name
		}
	}
	for _, name := range []string{"Precedence", "X-Precedence", "Preference"} {
		switch strings.NewReplacer("_", "-", " ", "").Replace(strings.ToLower(h.Get(name))) {
		case "auto-reply", "autoreply", "auto-replied":
			return name
		case "bulk", "junk":
			if nullReturn(h) && h.Has("In-Reply-To") {
				return name
			}
		}
	}
	return ""
}

// challenge finds those who want a sender to prove that somebody is there.
func (p *Parser) challenge(n *notice) string {
	for _, name := range []string{"X-TMDA-Confirm", "X-ChoiceMail-Registration-Request", "X-Challenge", "X-UOL-Challenge", "X-SpamArrest-Challenge"} {
		if n.header.Has(name) {
			return "challenge"
		}
	}
	if p.patterns.challenge.MatchString(n.subject) {
		return "challenge"
	}
	return ""
}

// nullReturn reports the null reverse-path, as a mailbox kept it.
func nullReturn(h Fields) bool {
	path := strings.TrimSpace(h.Get("Return-Path"))
	return h.Has("Return-Path") && (path == "" || path == "<>" || strings.HasPrefix(strings.ToLower(path), "<mailer-daemon"))
}

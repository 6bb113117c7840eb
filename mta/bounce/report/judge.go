package report

import (
	"slices"
	"strconv"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
)

// judge gives each recipient its verdict. A recipient without a diagnostic is
// judged by what the report says of it in words.
func (p *Parser) judge(r *Report, n *notice) {
	if r.Kind != DSN {
		return
	}
	s := p.listen(n.words)
	found := p.leadingMentions(s.lines, nil)
	whole := strings.ToLower(strings.Join(strings.Fields(n.words), " "))
	general := p.hear(whole)
	for i := range r.Recipients {
		one := &r.Recipients[i]
		e := general
		if len(r.Recipients) > 1 {
			e = p.hearOf(one.Address, found, whole, general)
		}
		e.quoted = r.Standard && withoutType(one.Diagnostic) != ""
		if r.Standard && !e.quoted {
			one.Diagnostic = orElse(p.wordsFor(one.Address, s, found, len(r.Recipients) == 1), one.Diagnostic)
		}
		one.Verdict = p.verdict(one, e)
	}
}

// evidence is what beside a recipient's own fields bears on it.
type evidence struct {
	// quoted reports a Diagnostic-Code in a standard report.
	quoted bool
	// toRecipient and toContent are what the author's words say of the command
	// that was refused.
	toRecipient, toContent bool
}

func (p *Parser) hear(words string) evidence {
	return evidence{toRecipient: p.patterns.toRecipient.MatchString(words), toContent: p.patterns.toContent.MatchString(words)}
}

// hearOf returns what the words, in lower case, say of one recipient among
// several: what is said of another proves nothing.
func (p *Parser) hearOf(address string, found []mention, words string, general evidence) evidence {
	if i := slices.IndexFunc(found, func(m mention) bool { return strings.EqualFold(m.address, address) }); i >= 0 {
		if own := p.hear(oneLine(found[i].words)); own.toRecipient || own.toContent {
			return own
		}
	}
	general.toRecipient = general.toRecipient && strings.Contains(words, "rcpt to:<"+strings.ToLower(address)+">")
	return general
}

// wordsFor returns what a standard report says in words of a recipient that has
// no diagnostic.
func (p *Parser) wordsFor(address string, s speech, found []mention, only bool) string {
	for _, m := range found {
		if strings.EqualFold(m.address, address) && len(oneLine(m.words)) > 3 {
			return oneLine(m.words)
		}
	}
	switch {
	case only && len(s.replies) > 0:
		return p.said(s, mention{})
	case only && strings.Contains(s.words, address):
		return oneLine(s.words)
	}
	return ""
}

// verdict says what a recipient's fate means. Only what failed for good and
// speaks of the address is hard, and only that suppresses.
func (p *Parser) verdict(r *Recipient, e evidence) Verdict {
	switch r.Action {
	case bounce.Delivered, bounce.Relayed, bounce.Expanded:
		return Verdict{}
	}
	class := p.classify(r)
	v := Verdict{Category: class.Category, Rule: class.Rule, Bounce: Soft}
	if r.Failed() && class.Permanent && class.SpeaksOfAddress() && !p.aboutPolicy(r) && p.certain(r, e) {
		v.Bounce = Hard
		_, err := mail.ParseAddress(r.Address)
		v.Suppresses = err == nil
	}
	return v
}

// Failed reports that the recipient was given up. Some leave the action out.
func (r *Recipient) Failed() bool {
	return r.Action == bounce.Failed || r.Action == "" && strings.HasPrefix(r.Status, "5.")
}

// classify asks the table. The status counts only where the diagnostic says
// nothing: reporting systems make one up from the reply code.
func (p *Parser) classify(r *Recipient) bounce.Class {
	status, known := mail.ParseEnhancedCode(r.Status)
	reply := p.reply(r, mail.EnhancedCode{})
	if reply.Permanent() && p.patterns.noMail.MatchString(reply.Text) {
		return bounce.Class{Category: bounce.InvalidRecipient, Permanent: true, Rule: "words-no-mail"}
	}
	if p.patterns.noHost.MatchString(reply.Text) && reply.Permanent() && (!known || status.Class == 5) {
		return bounce.Class{Category: bounce.InvalidRecipient, Permanent: true, Rule: "words-no-host"}
	}
	class := p.classifier.Classify(reply)
	if class.Category == bounce.Unknown && known && status.Class != 2 {
		class = p.classifier.Classify(p.reply(r, status))
	}
	return class
}

// certain reports that a failure is known to be about the address: a code of
// RFC 3463 says so, or the reply was to RCPT TO, or a system speaks of what it
// knows itself. A bare "550 user unknown" that came for the content is how some
// providers reject unwanted mail.
func (p *Parser) certain(r *Recipient, e evidence) bool {
	text := withoutType(r.Diagnostic)
	codes := p.codes(text)
	if status, ok := mail.ParseEnhancedCode(r.Status); ok {
		codes = append(codes, status)
	}
	coded := p.patterns.code.MatchString(text)
	switch {
	case strings.HasPrefix(r.Address, "|") || strings.HasPrefix(r.Address, "/"):
		return false // a program or a file, which somebody put behind the address
	case e.quoted && strings.HasPrefix(strings.ToLower(r.Diagnostic), "x-unix"):
		return false // the output of such a program
	case slices.ContainsFunc(codes, aboutAddress):
		return true
	case e.toContent || p.patterns.toContent.MatchString(text):
		return false
	case e.toRecipient || p.patterns.toRecipient.MatchString(text) || p.patterns.noHost.MatchString(text):
		return true
	case coded:
		return e.quoted && names(text, r.Address) && !slices.ContainsFunc(codes, aboutOther)
	}
	return !e.quoted && !p.patterns.perhaps.MatchString(text)
}

func aboutAddress(c mail.EnhancedCode) bool { return c.Class == 5 && c.Subject == 1 }

// aboutOther reports codes that contradict words about the address. Those of
// routing do not: the domain is part of it.
func aboutOther(c mail.EnhancedCode) bool { return c.Subject > 1 && c.Subject != 4 }

func names(text, address string) bool {
	return address != "" && strings.Contains(strings.ToLower(text), strings.ToLower(address))
}

// aboutPolicy reports an enhanced code x.7.x anywhere: RFC 3463 section 3.8
// makes it a matter of the receiver's rules, whatever the words.
func (p *Parser) aboutPolicy(r *Recipient) bool {
	codes := p.codes(r.Diagnostic)
	if code, ok := mail.ParseEnhancedCode(r.Status); ok {
		codes = append(codes, code)
	}
	return slices.ContainsFunc(codes, func(c mail.EnhancedCode) bool { return c.Subject == 7 })
}

// codes finds the enhanced codes of failures in text.
func (p *Parser) codes(text string) []mail.EnhancedCode {
	var codes []mail.EnhancedCode
	for _, found := range p.patterns.enhanced.FindAllStringSubmatch(text, 16) {
		if code, ok := mail.ParseEnhancedCode(orElse(found[1], found[2])); ok && code.Class != 2 {
			codes = append(codes, code)
		}
	}
	return codes
}

// reply makes of a diagnostic the reply that some server must have given, with
// the status where the diagnostic has no enhanced code.
func (p *Parser) reply(r *Recipient, status mail.EnhancedCode) mail.Reply {
	text := withoutType(r.Diagnostic)
	codes := p.codes(text)
	reply := mail.Reply{Text: text, Enhanced: choose(codes, status)}
	class, _ := mail.ParseEnhancedCode(r.Status)
	switch found := p.patterns.code.FindStringSubmatch(text); {
	case len(codes) > 0 && reply.Enhanced.Class == 4:
		reply.Code = 450 // given up after a temporary failure, whatever else is said
	case found != nil:
		reply.Code, _ = strconv.Atoi(found[1])
	case class.Class == 4 || !r.Failed():
		reply.Code = 450
	default:
		reply.Code = 550
	}
	return reply
}

// choose takes the most telling code: one about policy, then the first that is
// not general, then the status.
func choose(codes []mail.EnhancedCode, status mail.EnhancedCode) mail.EnhancedCode {
	if i := slices.IndexFunc(codes, func(c mail.EnhancedCode) bool { return c.Subject == 7 }); i >= 0 {
		return codes[i]
	}
	if i := slices.IndexFunc(codes, func(c mail.EnhancedCode) bool { return c.Subject != 0 }); i >= 0 {
		return codes[i]
	}
	if status.Subject != 0 {
		return status
	}
	return mail.EnhancedCode{}
}

// withoutType cuts the type off a Diagnostic-Code (RFC 3464 section 2.3.6).
func withoutType(diagnostic string) string {
	kind, text, ok := strings.Cut(diagnostic, ";")
	if !ok || len(kind) > 32 || strings.ContainsAny(strings.TrimSpace(kind), " \t<@") {
		return strings.TrimSpace(diagnostic)
	}
	return strings.TrimSpace(text)
}

// Reply makes of what a report says of a recipient the reply that some server
// must have given: its codes apart from its text, and the status for an enhanced
// code where the diagnostic has none.
func (p *Parser) Reply(r *Recipient) mail.Reply {
	status, _ := mail.ParseEnhancedCode(r.Status)
	reply := p.reply(r, status)
	reply.Text = withoutCodes(reply.Text)
	return reply
}

// withoutCodes cuts the codes off that a quoted reply begins with.
func withoutCodes(text string) string {
	if code, rest, found := strings.Cut(text, " "); found && len(code) == 3 && strings.Trim(code, "0123456789") == "" {
		text = rest
	}
	code, rest, found := strings.Cut(text, " ")
	if _, enhanced := mail.ParseEnhancedCode(strings.TrimPrefix(code, "#")); found && enhanced {
		text = rest
	}
	return text
}

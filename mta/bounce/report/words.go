package report

import (
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/mta/bounce"
)

// isBounce decides from words alone. Who bears the sign of an automatic reply
// must be a mail system to be believed: somebody who has left a company speaks
// of addresses that are no more, too.
func (p *Parser) isBounce(n *notice, automatic string) bool {
	if n.header.Get("X-Failed-Recipients") != "" || strings.EqualFold(n.reportType, "delivery-status") {
		return true
	}
	daemon := p.patterns.daemon.MatchString(n.header.Text("From"))
	subject := p.patterns.bounceSubject.MatchString(n.subject)
	words := p.patterns.bounceWords.MatchString(n.words)
	switch {
	case automatic == "subject" || automatic == "challenge":
		return false
	case automatic != "":
		return (daemon || subject && nullReturn(n.header)) && words
	case daemon || nullReturn(n.header):
		return subject || words
	}
	return subject && words
}

// mention is an address among the words, with what is said of it.
type mention struct {
	address string
	words   string
	// line and end delimit the lines where it is spoken of.
	line, end int
}

// speech is words in lines, of which some hold a reply.
type speech struct {
	words   string
	lines   []string
	replies []int
}

func (p *Parser) listen(words string) speech {
	s := speech{words: words, lines: strings.Split(words, "\n")}
	for i, line := range s.lines {
		if p.hasReply(line) {
			s.replies = append(s.replies, i)
		}
	}
	return s
}

// readWords finds recipients in a bounce that has no fields for them.
func (p *Parser) readWords(n *notice) []Recipient {
	action := bounce.Failed
	if p.patterns.delay.MatchString(n.subject) || p.patterns.delay.MatchString(n.words) {
		action = bounce.Delayed
	}
	s, inner := p.listen(n.words), p.inside(n)
	var recipients []Recipient
	for _, m := range p.mentions(n, s.lines) {
		r := Recipient{Address: m.address, Action: action, Diagnostic: p.said(s, m)}
		if len(inner.replies) > 0 && !p.hasReply(r.Diagnostic) && names(inner.words, m.address) {
			r.Diagnostic = p.said(inner, mention{line: -1})
		}
		if found := p.patterns.enhanced.FindStringSubmatch(r.Diagnostic); found != nil {
			r.Status = orElse(found[1], found[2])
		}
		recipients = append(recipients, r)
	}
	return recipients
}

// inside returns the words of a report that was wrapped in another one, as
// gateways do; none where the returned message is no report.
func (p *Parser) inside(n *notice) speech {
	if len(n.nested) == 0 {
		return speech{}
	}
	var t tree
	inner := p.collectAll(t.read(n.nested, 1))
	if !p.patterns.bounceWords.MatchString(inner.words) {
		return speech{}
	}
	return p.listen(inner.words)
}

// mentions returns the recipients that a bounce speaks of: those of a field
// made for it, else those at the beginning of a line, else one in a sentence,
// else whom the returned message was to.
func (p *Parser) mentions(n *notice, lines []string) []mention {
	if list := p.patterns.list.FindStringSubmatch(n.words); list != nil {
		return []mention{{address: list[1]}}
	}
	found := p.leadingMentions(lines, p.own(n))
	if named := addresses(p, n.header.Get("X-Failed-Recipients")); len(named) > 0 {
		return pick(named, found)
	}
	if len(found) == 0 {
		found = p.sentenceMentions(lines, p.own(n))
	}
	if len(found) == 0 {
		found = p.leadingMentions(lines, nil)
	}
	if len(found) == 0 {
		if to := addresses(p, n.returned.Get("To")); len(to) == 1 {
			return pick(to, nil)
		}
	}
	return found
}

// pick returns the named addresses with what was found of them.
func pick(named []string, found []mention) []mention {
	var picked []mention
	for _, name := range named {
		m := mention{address: name}
		if i := slices.IndexFunc(found, func(m mention) bool { return strings.EqualFold(m.address, name) }); i >= 0 {
			m = found[i]
		}
		picked = append(picked, m)
	}
	return picked
}

// own returns the addresses of those who write and read the bounce: it speaks
// of them, but as a rule not as recipients.
func (p *Parser) own(n *notice) []string {
	var own []string
	for _, name := range []string{"To", "From", "Reply-To", "Delivered-To"} {
		own = append(own, addresses(p, n.header.Get(name))...)
	}
	return append(own, addresses(p, n.returned.Get("From"))...)
}

// addresses finds the addresses in a header field.
func addresses(p *Parser, value string) []string {
	var found []string
	for word := range strings.FieldsFuncSeq(value, func(r rune) bool { return strings.ContainsRune(" \t,;<>()\"", r) }) {
		if m := p.patterns.leading.FindStringSubmatch(word); m != nil && len(found) < maxRecipients {
			found = append(found, m[1])
		}
	}
	return found
}

func isOwn(own []string, address string) bool {
	return slices.ContainsFunc(own, func(o string) bool { return strings.EqualFold(o, address) })
}

// leadingMentions finds lines that begin with an address. What is said of it is
// the rest of the line and of the paragraph.
func (p *Parser) leadingMentions(lines []string, own []string) []mention {
	var found []mention
	for i, line := range lines {
		at := p.patterns.leading.FindStringSubmatchIndex(line)
		if at == nil || isOwn(own, line[at[2]:at[3]]) || len(found) >= maxRecipients {
			continue
		}
		address := line[at[2]:at[3]]
		end := p.paragraph(lines, i)
		m := mention{address, strings.TrimLeft(line[at[1]:], " \t:.>") + "\n" + strings.Join(lines[i+1:end], "\n"), i, end}
		if beginsWithCode(line) {
			m.words = line
		}
		if j := slices.IndexFunc(found, func(m mention) bool { return strings.EqualFold(m.address, address) }); j >= 0 {
			if len(found[j].words) < 2*maxDiagnostic {
				found[j].words += "\n" + m.words
			}
			continue
		}
		found = append(found, m)
	}
	return found
}

// beginsWithCode reports a line of a transcript: "550 <address>... words".
func beginsWithCode(line string) bool {
	line = strings.TrimLeft(line, " \t>*")
	return len(line) > 3 && (line[0] == '4' || line[0] == '5') && isDigit(line[1]) && isDigit(line[2]) && line[3] == ' '
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// paragraph returns where the lines end that belong to line i: at an empty line
// or another address.
func (p *Parser) paragraph(lines []string, i int) int {
	end := i + 1
	for end < len(lines) && end < i+20 && strings.TrimSpace(lines[end]) != "" {
		if next := p.patterns.leading.FindStringIndex(lines[end]); next != nil && !startsDeeper(lines[end], lines[i]) {
			break
		}
		end++
	}
	return end
}

// startsDeeper reports a line indented further than another: it goes on with
// what that one began.
func startsDeeper(line, than string) bool {
	indent := func(s string) int { return len(s) - len(strings.TrimLeft(s, " \t")) }
	return indent(line) > indent(than)
}

// sentenceMentions finds the first address in a sentence that speaks of a
// recipient.
func (p *Parser) sentenceMentions(lines []string, own []string) []mention {
	for i, line := range lines {
		for _, at := range p.patterns.sentence.FindAllStringSubmatchIndex(line, -1) {
			if address := line[at[2]:at[3]]; !isOwn(own, address) && !p.patterns.daemon.MatchString(address) {
				return []mention{{address, strings.TrimLeft(line[at[3]:], "\"'> ") + "\n" + strings.Join(lines[i+1:p.paragraph(lines, i)], "\n"), i, i + 1}}
			}
		}
	}
	return nil
}

// said returns what a bounce says of a recipient: its own words when they have
// a reply in them, a reply found elsewhere, its own words whatever they are,
// or everything.
func (p *Parser) said(s speech, m mention) string {
	own := oneLine(m.words)
	if p.hasReply(own) {
		return own
	}
	for _, i := range s.replies {
		if i >= m.line && i < m.end {
			continue
		}
		end := i + 1
		for end < len(s.lines) && end < i+20 && strings.TrimSpace(s.lines[end]) != "" {
			end++
		}
		return orElse(oneLine(strings.Join(s.lines[i:end], "\n")), own)
	}
	if len(own) > 3 {
		return own
	}
	return oneLine(s.words)
}

func (p *Parser) hasReply(text string) bool {
	return p.patterns.code.MatchString(text) || p.patterns.enhanced.MatchString(text)
}

func oneLine(text string) string {
	return strings.TrimSpace(limit(strings.Join(strings.Fields(clean([]byte(limit(text, 4*maxDiagnostic)))), " "), maxDiagnostic))
}

package dsn

import (
	"bytes"
	"strings"

	"github.com/postrider-mta/postrider/mta/bounce"
)

// section is what is said of all recipients with one action.
type section struct {
	action bounce.Action
	text   string
}

// sections go from bad news to good.
func sections() []section {
	return []section{
		{bounce.Failed, "Your message could not be delivered to the recipients below. It will not be tried again."},
		{bounce.Delayed, "Your message has not been delivered yet to the recipients below. It is still being tried; there is nothing you need to do, and no need to send it again."},
		{bounce.Delivered, "Your message was delivered to the recipients below."},
		{bounce.Relayed, "Your message was passed on for the recipients below to a mail system that does not confirm delivery. You will hear nothing more unless something goes wrong."},
		{bounce.Expanded, "Your message was passed on to all members of the lists below."},
	}
}

// words writes the part for people.
func (w *writer) words() []byte {
	n := w.notice
	var out bytes.Buffer
	say := func(indent, text string) {
		wrap(&out, indent, printable(text, w.charset() == "utf-8"))
	}
	say("", "This is the mail system at "+string(n.Host)+".")
	for _, s := range sections() {
		first := true
		for _, o := range n.Outcomes {
			if o.Action != s.action {
				continue
			}
			if first {
				out.WriteString("\r\n")
				say("", s.text)
				first = false
			}
			out.WriteString("\r\n")
			say("  ", "<"+o.Recipient.Address.String()+">")
			for _, line := range because(o) {
				say("    ", line)
			}
		}
	}
	out.WriteString("\r\n")
	if !n.Arrival.IsZero() {
		say("", "The message was accepted on "+date(n.Arrival)+".")
	}
	say("", "What follows is the same for mail programs, and "+w.attached()+".")
	return out.Bytes()
}

func (w *writer) attached() string {
	if media, _ := w.returned(); media == "message/rfc822" || media == "message/global" {
		return "your message"
	}
	return "the header of your message"
}

// because says what is known of one outcome.
func because(o Outcome) []string {
	var lines []string
	switch {
	case !o.Reply.IsZero() && o.RemoteMTA != "":
		lines = append(lines, o.RemoteMTA+" said: "+o.Reply.String())
	case !o.Reply.IsZero():
		lines = append(lines, "The other mail system said: "+o.Reply.String())
	case o.Reason != "":
		lines = append(lines, "The reason: "+o.Reason)
	}
	if o.Action == bounce.Delayed && !o.RetryUntil.IsZero() {
		lines = append(lines, "It is tried until "+date(o.RetryUntil)+".")
	}
	return lines
}

// maxLine is where words are wrapped, maxWords how many octets of one line are
// written.
const (
	maxLine  = 72
	maxWords = 4 << 10
)

// wrap writes text in lines.
func wrap(out *bytes.Buffer, indent, text string) {
	at, total := 0, 0
	for word := range strings.FieldsSeq(text) {
		word = cut(word, maxValue)
		if total += len(word); total > maxWords {
			break
		}
		switch {
		case at == 0:
			out.WriteString(indent)
			at = len(indent)
		case at+1+len(word) > maxLine:
			out.WriteString("\r\n" + indent)
			at = len(indent)
		default:
			out.WriteByte(' ')
			at++
		}
		out.WriteString(word)
		at += len(word)
	}
	out.WriteString("\r\n")
}

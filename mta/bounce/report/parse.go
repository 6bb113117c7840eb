package report

import (
	"bytes"
	"errors"
	"strings"

	"github.com/postrider-mta/postrider/mta/bounce"
)

// ErrMessage is returned for what is no message: it has no header field.
var ErrMessage = errors.New("not a message: it has no header field")

// Parser reads reports. It does not change after New and may be used from any
// goroutine.
type Parser struct {
	classifier *bounce.Classifier
	patterns   *patterns
}

// New makes a Parser that judges by the given classifier.
func New(classifier *bounce.Classifier) *Parser {
	return &Parser{classifier: classifier, patterns: newPatterns()}
}

// Parse reads a message as it came, with CRLF or LF. The only error is
// ErrMessage: a message that is no report, or a report of which little can be
// made out, is told by the result.
func (p *Parser) Parse(message []byte) (Report, error) {
	var t tree
	root := t.read(bytes.TrimLeft(message[:min(len(message), MaxRead)], " \t\r\n"), 0)
	if len(root.fields) == 0 {
		return Report{}, ErrMessage
	}
	n := p.take(root)
	r := Report{Kind: Other, Header: root.fields, Truncated: t.truncated || len(message) > MaxRead}
	p.decide(n, &r)
	if len(r.Recipients) > maxRecipients {
		r.Recipients, r.Truncated = r.Recipients[:maxRecipients], true
	}
	r.Original = readOriginal(n.returned, r)
	p.judge(&r, n)
	return r, nil
}

// decide finds the kind, what is certain before what is likely: fields made for
// programs, then what a machine says of itself, then words.
func (p *Parser) decide(n *notice, r *Report) {
	switch automatic := p.automatic(n); {
	case n.feedback != nil:
		r.Kind, r.Sign, r.Feedback = ARF, "message/feedback-report", readFeedback(n.feedback)
	case strings.EqualFold(n.reportType, "feedback-report"):
		r.Kind, r.Sign, r.Feedback = ARF, "report-type=feedback-report", &Feedback{}
	case n.returned.Has(microsoftComplaint):
		r.Kind, r.Sign, r.Feedback = ARF, microsoftComplaint, &Feedback{Type: "abuse", OriginalRcptTo: n.returned.All(microsoftComplaint)}
	case p.readStatus(n, r):
		r.Kind, r.Standard = DSN, true
	case readService(n.words).fill(n, r):
	case n.receipt:
		r.Kind, r.Sign = AutoReply, "message/disposition-notification"
	case p.isBounce(n, automatic):
		r.Kind, r.Sign = DSN, "words"
		r.Recipients = p.readWords(n)
	case automatic != "":
		r.Kind, r.Sign = AutoReply, automatic
	}
}

// microsoftComplaint is the field that Outlook.com's complaints, which are no
// ARF, put into the message they forward.
const microsoftComplaint = "X-HmXmrOriginalRecipient"

// readStatus reads delivery-status parts; where there are none, such fields
// among the words.
func (p *Parser) readStatus(n *notice, r *Report) bool {
	r.Sign = "message/delivery-status"
	for _, status := range n.status {
		readStatus(status, r)
	}
	if len(r.Recipients) == 0 {
		if at := p.patterns.statusField.FindStringIndex(n.words); at != nil {
			r.Sign = "words in the form of a delivery-status"
			readStatus([]byte(n.words[at[0]:]), r)
		}
	}
	if len(r.Recipients) == 0 {
		r.Sign = ""
	}
	return len(r.Recipients) > 0
}

// notice is a message by what its parts are for.
type notice struct {
	header     Fields
	subject    string
	reportType string
	// words are the author's own.
	words string
	// status are delivery-status parts with recipients, feedback one
	// feedback-report.
	status   [][]byte
	feedback []byte
	// receipt reports a disposition notification (RFC 8098).
	receipt bool
	// returned is the header of the message that came back.
	returned Fields
	nested   []byte
}

// take sorts the parts. Where the whole message is only a wrapper around
// another, that one is taken.
func (p *Parser) take(root *part) *notice {
	n := p.collectAll(root)
	if n.status == nil && n.feedback == nil && n.nested != nil && !isReport(root) {
		var t tree
		inner := t.read(n.nested, 1)
		if wrapped := p.collectAll(inner); wrapped.status != nil && isReport(inner) {
			return wrapped
		}
	}
	return n
}

func isReport(p *part) bool { return p.media == "multipart/report" }

func (p *Parser) collectAll(root *part) *notice {
	n := &notice{header: root.fields, subject: root.fields.Text("Subject")}
	n.reportType = parameter(root.fields.Get("Content-Type"), "report-type")
	n.collect(root)
	var inline string
	n.words, inline = p.patterns.cutReturned(n.words)
	if n.returned == nil && inline != "" {
		n.returned, _ = readFields([]byte(inline))
	}
	return n
}

// collect goes through the parts in order.
func (n *notice) collect(p *part) {
	switch p.media {
	case "message/delivery-status", "message/global-delivery-status", "text/delivery-status":
		if content := p.content(); hasRecipient(content) {
			n.status = append(n.status, content)
		} else {
			n.say(p.words())
		}
	case "message/feedback-report":
		if n.feedback == nil {
			n.feedback = p.content()
		}
	case "message/disposition-notification", "message/global-disposition-notification":
		n.receipt = true
	case "message/rfc822", "message/global", "message/rfc822-headers", "text/rfc822-headers", "text/rfc822-header", "message/global-headers", "message/partial":
		n.give(p.content())
	case returnedHere:
		if n.returned == nil {
			n.returned = p.fields
		}
	default:
		n.collectText(p)
	}
}

func (n *notice) collectText(p *part) {
	before := len(n.words)
	for _, child := range p.children {
		if p.media == "multipart/alternative" && len(strings.TrimSpace(n.words[before:])) > 0 && strings.HasPrefix(child.media, "text/") {
			continue // the same again in another form
		}
		n.collect(child)
	}
	if len(p.children) > 0 || p.media != "text/plain" && p.media != "text/html" {
		return
	}
	words := p.words()
	if fields, _ := readHeader([]byte(words)); n.words != "" && n.returned == nil && fields.Has("Received") {
		n.returned = fields // a header as an attachment
		return
	}
	n.say(words)
}

func (n *notice) say(words string) { n.words = limit(n.words+words+"\n", maxWords) }

// give takes the message that came back.
func (n *notice) give(content []byte) {
	if n.returned == nil {
		content = bytes.TrimLeft(content, "\r\n")
		n.nested = content
		n.returned, _ = readFields(content)
	}
}

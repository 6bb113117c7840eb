package offline

import (
	"strconv"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
)

// Classified is what a remote server's reply means.
type Classified struct {
	Reply    string `json:"reply"`
	Category string `json:"category,omitempty"`
	// Permanent ends the recipient; otherwise it is tried again.
	Permanent bool `json:"permanent"`
	// SuppressesAddress: it says that there is no such address.
	SuppressesAddress bool `json:"suppresses_address"`
	// Rule that decided; empty for the codes alone.
	Rule string `json:"rule,omitempty"`
	// Error says why the line is no reply.
	Error string `json:"error,omitempty"`
}

// Classifier returns a function that reads one reply as it stands in a log:
// code, enhanced code if there is one, text.
func Classifier() func(line string) Classified {
	classifier := bounce.New()
	return func(line string) Classified {
		reply, ok := parseReply(line)
		if !ok {
			return Classified{Reply: line, Error: "not an SMTP reply: it begins with no code from 200 to 599"}
		}
		if reply.Positive() {
			return Classified{Reply: line}
		}
		class := classifier.Classify(reply)
		return Classified{
			Reply: line, Category: string(class.Category), Permanent: class.Permanent, Rule: class.Rule,
			SuppressesAddress: class.Permanent && class.SpeaksOfAddress(),
		}
	}
}

func parseReply(line string) (mail.Reply, bool) {
	line = strings.TrimSpace(line)
	if len(line) < 3 {
		return mail.Reply{}, false
	}
	code, err := strconv.Atoi(line[:3])
	if err != nil || code < 200 || code > 599 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return mail.Reply{}, false
	}
	reply := mail.Reply{Code: code}
	if len(line) > 4 {
		reply.Text = strings.TrimSpace(line[4:])
	}
	word, rest, _ := strings.Cut(reply.Text, " ")
	if enhanced, ok := mail.ParseEnhancedCode(word); ok {
		reply.Enhanced, reply.Text = enhanced, strings.TrimSpace(rest)
	}
	return reply, true
}

package bounce

import (
	"slices"
	"strconv"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Classifier knows what servers mean. It does not change after New and may be
// used from any goroutine.
type Classifier struct{ rules []rule }

// New builds the table.
func New() *Classifier { return &Classifier{rules: rules()} }

// decision overrides the class that the reply code gives.
type decision uint8

const (
	asCode decision = iota
	permanent
	temporary
)

// rule is one line of the table. It matches when every condition that it has
// does.
type rule struct {
	name     string
	category Category
	// codes is a list such as "552" or "450 451".
	codes string
	// enhanced is a list such as "x.1.1 5.7.*": x stands for every class, * for
	// every detail.
	enhanced string
	// text lists phrases in lower case, any of which must occur. An asterisk
	// stands for anything. Addresses and URLs have been taken out before.
	text []string
	// urls lists parts of a URL in the reply, any of which must occur.
	urls     []string
	decision decision
}

// Classify says what a negative reply means. A reply that fits no rule is
// Unknown; whatever is not 5xx is temporary, since an unknown answer must never
// lose a message.
func (c *Classifier) Classify(reply mail.Reply) Class {
	s := newSubject(reply)
	for i := range c.rules {
		if c.rules[i].matches(s) {
			return Class{c.rules[i].category, c.rules[i].decide(reply), c.rules[i].name}
		}
	}
	return Class{Unknown, reply.Permanent(), ""}
}

func (r *rule) decide(reply mail.Reply) bool {
	switch r.decision {
	case permanent:
		return true
	case temporary:
		return false
	default:
		return reply.Permanent()
	}
}

// subject is a reply made ready for comparison.
type subject struct {
	code     string
	enhanced mail.EnhancedCode
	text     string
	urls     string
}

// maxText is what is read of a reply's text; the point is made before it.
const maxText = 2048

func newSubject(reply mail.Reply) subject {
	text := strings.ToLower(reply.Text[:min(len(reply.Text), maxText)])
	s := subject{code: strconv.Itoa(reply.Code), enhanced: reply.Enhanced}
	if s.enhanced.IsZero() {
		s.enhanced = findEnhanced(text)
	}
	var words, urls []string
	for word := range strings.FieldsSeq(strings.NewReplacer("’", "'", `"`, "'", "<", " <").Replace(text)) {
		switch {
		case strings.Contains(word, "://") || strings.HasPrefix(word, "www."):
			urls = append(urls, word)
		case strings.Contains(word, "@"):
			// An address may look like anything.
		default:
			words = append(words, word)
		}
	}
	s.text, s.urls = strings.Join(words, " "), strings.Join(urls, " ")
	return s
}

// findEnhanced looks for an enhanced status code that the server wrote where it
// does not belong, such as "(#5.1.1)".
func findEnhanced(text string) mail.EnhancedCode {
	isOther := func(r rune) bool { return (r < '0' || r > '9') && r != '.' }
	for word := range strings.FieldsFuncSeq(text, isOther) {
		code, ok := mail.ParseEnhancedCode(strings.Trim(word, "."))
		if ok && code.Class != 2 && code.Subject <= 7 {
			return code
		}
	}
	return mail.EnhancedCode{}
}

func (r *rule) matches(s subject) bool {
	if r.category == InvalidRecipient && s.enhanced.Subject == 7 {
		// RFC 3463 section 3.8: x.7.x is policy. Whatever its words, it is no
		// reason to give an address up.
		return false
	}
	return (r.codes == "" || slices.Contains(strings.Fields(r.codes), s.code)) &&
		(r.enhanced == "" || matchesEnhanced(r.enhanced, s.enhanced)) &&
		(r.text == nil || containsAny(s.text, r.text)) &&
		(r.urls == nil || containsAny(s.urls, r.urls))
}

func matchesEnhanced(patterns string, code mail.EnhancedCode) bool {
	if code.IsZero() {
		return false
	}
	exact := strings.Split(code.String(), ".")
	for pattern := range strings.FieldsSeq(patterns) {
		parts := strings.Split(pattern, ".")
		if (parts[0] == "x" || parts[0] == exact[0]) && parts[1] == exact[1] && (parts[2] == "*" || parts[2] == exact[2]) {
			return true
		}
	}
	return false
}

func containsAny(text string, phrases []string) bool {
	return text != "" && slices.ContainsFunc(phrases, func(phrase string) bool { return containsPhrase(text, phrase) })
}

// containsPhrase looks for the pieces between asterisks in their order.
func containsPhrase(text, phrase string) bool {
	for piece := range strings.SplitSeq(phrase, "*") {
		i := strings.Index(text, piece)
		if i < 0 {
			return false
		}
		text = text[i+len(piece):]
	}
	return true
}

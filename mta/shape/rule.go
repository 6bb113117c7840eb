package shape

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Action is what a rule does.
type Action string

// The actions of rules.
const (
	// SlowDown lowers the rate to a share of what it was.
	SlowDown Action = "slow_down"
	// FewerConnections lowers the number of connections to a share of what it
	// was.
	FewerConnections Action = "fewer_connections"
	// PauseSite sends nothing to the site from this source.
	PauseSite Action = "pause_site"
	// PauseTenant sends nothing of the tenant to the site, from any source.
	PauseTenant Action = "pause_tenant"
	// PauseCampaign sends nothing of the tenant's campaign to the site, from
	// any source.
	PauseCampaign Action = "pause_campaign"
	// BounceRecipient ends the recipient although the reply is temporary.
	BounceRecipient Action = "bounce"
	// RetryRecipient tries the recipient again although the reply is permanent.
	RetryRecipient Action = "retry"
	// Nothing keeps later rules from reacting.
	Nothing Action = "none"
)

func actions() []Action {
	return []Action{SlowDown, FewerConnections, PauseSite, PauseTenant, PauseCampaign, BounceRecipient, RetryRecipient, Nothing}
}

// lasts reports that the action puts a throttle in force.
func (a Action) lasts() bool {
	return a != BounceRecipient && a != RetryRecipient && a != Nothing
}

// Rule is one reaction to what a provider says. It matches a reply that meets
// every condition it has; it has at least one. Rules are tried in their order,
// and the first that matches acts; one that waits for its After-th match leaves
// the replies before to the rules behind it.
type Rule struct {
	// Name is unique among the rules of its provider; Provider is empty for a
	// rule that holds for every site.
	Name, Provider string
	// Codes such as "421", or "4xx".
	Codes []string
	// Enhanced codes such as "4.7.28", "x.7.*" or "5.7.606-649".
	Enhanced []string
	// Categories of bounce.Category.
	Categories []string
	// Text is a regular expression, without regard to case; nil for none.
	Text *regexp.Regexp
	// Actions are at most one that lasts, and at most one of bounce and retry.
	Actions []Action
	// Factor is what SlowDown and FewerConnections leave.
	Factor float64
	// For is how long it lasts; for SlowDown and FewerConnections, how long
	// until what was taken away begins to grow back.
	For time.Duration
	// After and Within: the action that lasts waits for so many matches in that
	// time. An After of 1 acts at once.
	After  int
	Within time.Duration
	// Reason in words, for whoever asks why mail waits.
	Reason string
	// Samples are replies that the rule is there for, and Exchanger a mail
	// exchanger that gives them.
	Samples   []mail.Reply
	Exchanger string

	enhanced []enhancedPattern
	// path in the document that named it last; empty for others.
	path string
	// disabled by the operator.
	disabled bool
}

// The defaults of a rule.
const (
	defaultFactor = 0.5
	defaultFor    = 10 * time.Minute
	defaultWithin = 10 * time.Minute
	maxAfter      = 1000
)

// String returns provider/name, or any/name for a rule of every site.
func (r *Rule) String() string {
	if r.Provider == "" {
		return "any/" + r.Name
	}
	return r.Provider + "/" + r.Name
}

// does reports whether a is among the actions.
func (r *Rule) does(a Action) bool { return slices.Contains(r.Actions, a) }

// lasting returns the action that puts a throttle in force; empty for none.
func (r *Rule) lasting() Action {
	for _, a := range r.Actions {
		if a.lasts() {
			return a
		}
	}
	return ""
}

// maxText is what is read of a reply's text.
const maxText = 2048

// Matches reports whether a reply of that category meets every condition.
func (r *Rule) Matches(reply mail.Reply, category string) bool {
	return (len(r.Categories) == 0 || slices.Contains(r.Categories, category)) && r.fits(reply)
}

// fits leaves the category out.
func (r *Rule) fits(reply mail.Reply) bool {
	if len(r.Codes) > 0 && !slices.ContainsFunc(r.Codes, func(c string) bool { return fitsCode(c, reply.Code) }) {
		return false
	}
	if len(r.enhanced) > 0 && !slices.ContainsFunc(r.enhanced, func(p enhancedPattern) bool { return p.fits(reply.Enhanced) }) {
		return false
	}
	return r.Text == nil || r.Text.MatchString(reply.Text[:min(len(reply.Text), maxText)])
}

func fitsCode(pattern string, code int) bool {
	if class, ok := strings.CutSuffix(pattern, "xx"); ok {
		return class == strconv.Itoa(code/100)
	}
	return pattern == strconv.Itoa(code)
}

func isCode(pattern string) bool {
	class, ok := strings.CutSuffix(pattern, "xx")
	if ok {
		return class == "4" || class == "5"
	}
	n, err := strconv.Atoi(pattern)
	return err == nil && n >= 400 && n <= 599
}

// enhancedPattern is an enhanced status code with room: class 0 stands for
// every class, and the detail is a range.
type enhancedPattern struct{ class, subject, from, to int }

// parseEnhanced reads 4.7.1, x.7.1, 4.7.* and 5.7.606-649.
func parseEnhanced(s string) (enhancedPattern, error) {
	wrong := fmt.Errorf("%q is not an enhanced code such as 4.7.28, x.7.*, or 5.7.606-649", s)
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return enhancedPattern{}, wrong
	}
	var p enhancedPattern
	switch parts[0] {
	case "x":
	case "4", "5":
		p.class = int(parts[0][0] - '0')
	default:
		return enhancedPattern{}, wrong
	}
	first, last, isRange := strings.Cut(parts[2], "-")
	if parts[2] == "*" {
		first, last, isRange = "0", "999", true
	}
	if !isRange {
		last = first
	}
	numbers := [...]*int{&p.subject, &p.from, &p.to}
	for i, text := range [...]string{parts[1], first, last} {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n > 999 {
			return enhancedPattern{}, wrong
		}
		*numbers[i] = int(n)
	}
	if p.from > p.to {
		return enhancedPattern{}, wrong
	}
	return p, nil
}

func (p enhancedPattern) fits(code mail.EnhancedCode) bool {
	return !code.IsZero() && (p.class == 0 || p.class == code.Class) && p.subject == code.Subject &&
		p.from <= code.Detail && code.Detail <= p.to
}

// parseReply reads a reply as it is written in one line, its enhanced code as
// RFC 2034 section 4 has it: of the same class.
func parseReply(s string) (mail.Reply, bool) {
	code, text, _ := strings.Cut(s, " ")
	n, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || n < 400 || n > 599 {
		return mail.Reply{}, false
	}
	reply := mail.Reply{Code: n, Text: text}
	first, rest, _ := strings.Cut(text, " ")
	if enhanced, ok := mail.ParseEnhancedCode(first); ok && enhanced.Class == n/100 {
		reply.Enhanced, reply.Text = enhanced, rest
	}
	return reply, true
}

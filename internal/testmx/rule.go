package testmx

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Command names a step of the dialogue at which a Rule strikes.
type Command string

const (
	// Any is every step.
	Any      Command = ""
	Connect  Command = "connect"
	EHLO     Command = "ehlo"
	STARTTLS Command = "starttls"
	AUTH     Command = "auth"
	MAIL     Command = "mail"
	RCPT     Command = "rcpt"
	DATA     Command = "data"
	// Content is the message itself, after its last octet.
	Content Command = "message"
	RSET    Command = "rset"
	NOOP    Command = "noop"
	QUIT    Command = "quit"
)

// Rule is a fault: at which command, under which conditions, and what happens.
// Where several rules hold at once their delays add up, and the first one that
// says a reply or ends the connection decides.
type Rule struct {
	Command Command

	// Pattern matches an address as a whole, or by its domain as
	// "@example.com"; a star stands for any octets. MAIL is asked about the
	// sender, RCPT about the recipient, DATA and message about all accepted
	// recipients. Empty matches always.
	Pattern string
	// Nth lets only the nth matching command of the server's life pass for a
	// match, counted from one; zero for every one.
	Nth int
	// Times ends the fault after so many: for RCPT by recipient (as
	// greylisting does), else in all; zero for no end.
	Times int
	// Probability of a match, from 0 to 1; zero for always.
	Probability float64

	Action
}

// Action is what a Rule does.
type Action struct {
	// Reply answers instead of the server, its lines separated by LF. The
	// command takes effect if the last line's code is 2xx or 3xx. After 421
	// the connection is closed.
	Reply string
	// Raw answers with these octets as they are; the command has no effect.
	Raw []byte
	// Delay before the answer.
	Delay time.Duration
	// Slow between any two octets of the answer.
	Slow time.Duration
	// Drop ends the connection instead of an answer.
	Drop bool
	// DropAfter ends the connection when so many octets of the message have
	// been read; zero for never. Only for Content.
	DropAfter int64
	// Close ends the connection after the answer.
	Close bool
}

func (a *Action) decides() bool {
	return a.Reply != "" || a.Raw != nil || a.Drop || a.DropAfter > 0 || a.Close
}

// refuses reports whether the command has no effect.
func (a *Action) refuses() bool {
	if a.Raw != nil {
		return true
	}
	last := a.Reply[strings.LastIndexByte(a.Reply, '\n')+1:]
	return last != "" && last[0] != '2' && last[0] != '3'
}

// rulebook remembers how often each rule struck.
type rulebook struct {
	mu     *sync.Mutex
	random *rand.Rand
	rules  []*ruleState
}

type ruleState struct {
	Rule
	pattern glob
	// seen counts commands that matched, struck those that suffered.
	seen, struck int
	// recipients counts by address for Times.
	recipients map[string]int
}

func newRulebook(rules []Rule, random *rand.Rand) rulebook {
	b := rulebook{mu: new(sync.Mutex), random: random}
	for _, r := range rules {
		b.rules = append(b.rules, &ruleState{Rule: r, pattern: newGlob(r.Pattern), recipients: map[string]int{}})
	}
	return b
}

// fault returns what happens at a command about some addresses; nil for
// nothing.
func (b *rulebook) fault(c Command, addresses ...string) *Action {
	if len(b.rules) == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var fault *Action
	for _, r := range b.rules {
		if r.Command != Any && r.Command != c || !r.matches(addresses) || !b.strikes(r, c, addresses) {
			continue
		}
		fault = merge(fault, r.Action)
	}
	return fault
}

// merge adds a further rule's action to those before it.
func merge(before *Action, a Action) *Action {
	if before == nil {
		return &a
	}
	delay, slow := before.Delay+a.Delay, before.Slow+a.Slow
	merged := *before
	if !before.decides() {
		merged = a
	}
	merged.Delay, merged.Slow = delay, slow
	return &merged
}

func (r *ruleState) matches(addresses []string) bool {
	if r.Pattern == "" {
		return true
	}
	for _, address := range addresses {
		if r.pattern.matches(address) {
			return true
		}
	}
	return false
}

func (b *rulebook) strikes(r *ruleState, c Command, addresses []string) bool {
	r.seen++
	switch {
	case r.Nth > 0 && r.seen != r.Nth:
		return false
	case r.Times > 0 && r.exhausted(c, addresses):
		return false
	case r.Probability > 0 && b.random.Float64() >= r.Probability:
		return false
	}
	r.struck++
	if r.Times > 0 && c == RCPT {
		r.recipients[strings.ToLower(addresses[0])]++
	}
	return true
}

func (r *ruleState) exhausted(c Command, addresses []string) bool {
	if c == RCPT {
		return r.recipients[strings.ToLower(addresses[0])] >= r.Times
	}
	return r.struck >= r.Times
}

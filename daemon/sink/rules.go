package sink

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
)

// defaultSlow is the pause between octets where a rule says only "slow".
const defaultSlow = 100 * time.Millisecond

// Behaviour is what rules ask of the sink.
type Behaviour struct {
	// Rules are faults, in the order given.
	Rules []testmx.Rule
	// Without are extensions that are not offered.
	Without testmx.Extensions
}

// ParseRules reads rules: empty ones and those that begin with # are passed
// over. The error joins those of all rules, each with its place in lines,
// counted from one.
//
//	no-starttls                 an extension is not offered
//	delay=50ms                  every answer waits
//	COMMAND[:PATTERN][=REPLY][;OPTION]...
//
// COMMAND is connect, ehlo, starttls, auth, mail, rcpt, data, message, rset,
// noop or quit; PATTERN an address, @domain, or either with stars; REPLY a
// code with text, its lines separated by \n; OPTION one of times=N, nth=N,
// probability=P, delay=D, slow, slow=D, drop, drop-after=N and close. A
// semicolon inside a reply is written \; and a backslash \\.
func ParseRules(lines []string) (Behaviour, error) {
	var b Behaviour
	var errs []error
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := b.add(line); err != nil {
			errs = append(errs, fmt.Errorf("rule %d, %q: %w", i+1, line, err))
		}
	}
	return b, errors.Join(errs...)
}

func (b *Behaviour) add(line string) error {
	if name, ok := strings.CutPrefix(line, "no-"); ok {
		return b.turnOff(name)
	}
	rule, err := parseRule(line)
	if err != nil {
		return err
	}
	b.Rules = append(b.Rules, rule)
	return nil
}

func (b *Behaviour) turnOff(name string) error {
	w := &b.Without
	extensions := map[string]*bool{
		"ehlo": &w.EHLO, "starttls": &w.TLS, "pipelining": &w.Pipelining, "8bitmime": &w.EightBitMIME,
		"smtputf8": &w.SMTPUTF8, "dsn": &w.DSN, "chunking": &w.Chunking,
		"enhancedstatuscodes": &w.EnhancedStatusCodes, "size": &w.Size,
	}
	extension := extensions[name]
	if extension == nil {
		return fmt.Errorf("no extension %q; there are %s", name, strings.Join(sortedKeys(extensions), ", "))
	}
	*extension = true
	return nil
}

func sortedKeys(m map[string]*bool) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// parseRule reads one fault.
func parseRule(line string) (testmx.Rule, error) {
	parts := splitEscaped(line)
	var rule testmx.Rule
	options := parts[1:]
	if isOption(parts[0]) {
		options = parts // an option alone strikes at every command
	} else if err := parseHead(&rule, parts[0]); err != nil {
		return rule, err
	}
	for _, option := range options {
		if err := parseOption(&rule, strings.TrimSpace(option)); err != nil {
			return rule, err
		}
	}
	return rule, check(&rule)
}

// splitEscaped splits at each semicolon that no backslash precedes, and takes
// the backslashes out.
func splitEscaped(s string) []string {
	parts := []string{""}
	last := &parts[0]
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == ';':
			parts = append(parts, "")
			last = &parts[len(parts)-1]
			continue
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == ';' || s[i+1] == '\\'):
			i++
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == 'n':
			i++
			*last += "\n"
			continue
		}
		*last += s[i : i+1]
	}
	return parts
}

// isOption reports whether a rule begins with an action for all commands.
func isOption(s string) bool {
	name, _, _ := strings.Cut(s, "=")
	return slices.Contains([]string{"delay", "slow", "drop-after"}, strings.TrimSpace(name))
}

func commands() []testmx.Command {
	return []testmx.Command{
		testmx.Connect, testmx.EHLO, testmx.STARTTLS, testmx.AUTH, testmx.MAIL, testmx.RCPT,
		testmx.DATA, testmx.Content, testmx.RSET, testmx.NOOP, testmx.QUIT,
	}
}

// parseHead reads COMMAND[:PATTERN][=REPLY].
func parseHead(rule *testmx.Rule, head string) error {
	where, reply, answers := strings.Cut(head, "=")
	name, pattern, matches := strings.Cut(strings.TrimSpace(where), ":")
	rule.Command = testmx.Command(strings.ToLower(name))
	rule.Pattern = pattern
	if !slices.Contains(commands(), rule.Command) {
		return fmt.Errorf("no command %q; there are %s", name, joinCommands())
	}
	if matches && pattern == "" {
		return errors.New("an address pattern belongs behind the colon")
	}
	if matches && !slices.Contains([]testmx.Command{testmx.MAIL, testmx.RCPT, testmx.DATA, testmx.Content}, rule.Command) {
		return fmt.Errorf("%s has no address that a pattern could match", name)
	}
	if !answers {
		return nil
	}
	rule.Reply = strings.TrimSpace(reply)
	return checkReply(rule.Reply)
}

func joinCommands() string {
	var names []string
	for _, c := range commands() {
		names = append(names, string(c))
	}
	return strings.Join(names, ", ")
}

// checkReply wants a code first; what follows may be as odd as a test needs.
func checkReply(reply string) error {
	if len(reply) < 3 || strings.Trim(reply[:3], "0123456789") != "" || reply[0] < '2' || reply[0] > '5' ||
		len(reply) > 3 && !strings.ContainsRune(" -\n", rune(reply[3])) {
		return fmt.Errorf("reply %q does not begin with a code from 200 to 599", reply)
	}
	return nil
}

func parseOption(rule *testmx.Rule, option string) error {
	name, value, given := strings.Cut(option, "=")
	var err error
	switch name {
	case "times":
		rule.Times, err = parseCount(value)
	case "nth":
		rule.Nth, err = parseCount(value)
	case "probability":
		rule.Probability, err = parseProbability(value)
	case "delay":
		rule.Delay, err = parseDuration(value)
	case "slow":
		rule.Slow = defaultSlow
		if given {
			rule.Slow, err = parseDuration(value)
		}
	case "drop":
		rule.Drop, err = true, noValue(given)
	case "close":
		rule.Close, err = true, noValue(given)
	case "drop-after":
		var octets int
		octets, err = parseCount(value)
		rule.DropAfter = int64(octets)
	default:
		return fmt.Errorf("no option %q; there are times, nth, probability, delay, slow, drop, drop-after, close", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a number from 1 up", s)
	}
	return n, nil
}

func parseProbability(s string) (float64, error) {
	p, err := strconv.ParseFloat(s, 64)
	if err != nil || !(p > 0 && p <= 1) {
		return 0, fmt.Errorf("%q is not a number above 0 and up to 1", s)
	}
	return p, nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is not a duration such as 50ms or 2s", s)
	}
	return d, nil
}

func noValue(given bool) error {
	if given {
		return errors.New("takes no value")
	}
	return nil
}

// check looks at the rule as a whole.
func check(rule *testmx.Rule) error {
	if rule.DropAfter > 0 {
		if rule.Command == testmx.Any {
			rule.Command = testmx.Content
		}
		if rule.Command != testmx.Content {
			return errors.New("drop-after counts octets of the message: the command must be message")
		}
	}
	a := &rule.Action
	if a.Reply == "" && a.Delay == 0 && a.Slow == 0 && !a.Drop && a.DropAfter == 0 && !a.Close {
		return errors.New("does nothing: give a reply, delay, slow, drop, drop-after or close")
	}
	return nil
}

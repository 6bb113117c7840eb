package sts

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postrider-mta/postrider/internal/mail"
)

// ErrInvalid is wrapped by errors about records and policies that are not what
// RFC 8461 says.
var ErrInvalid = errors.New("invalid MTA-STS policy")

// Mode says what follows from a policy that is not kept (RFC 8461 section 5).
type Mode string

const (
	// Enforce: mail does not leave for a host that fails the policy.
	Enforce Mode = "enforce"
	// Testing: failures are only reported.
	Testing Mode = "testing"
	// None: there is no policy any more.
	None Mode = "none"
)

// MaxAge is the longest time for which a policy may be kept (section 3.2).
const MaxAge = 31557600 * time.Second

// Policy is what a domain publishes.
type Policy struct {
	Mode Mode
	// MX holds the patterns of host names, in lower case, in the policy's order.
	MX []string
	// MaxAge is how long the policy holds after it was fetched, in whole
	// seconds.
	MaxAge time.Duration
}

// ParsePolicy reads the body of a policy (section 3.2). Unknown fields are
// ignored, and of a repeated field other than mx the first counts. The error
// wraps ErrInvalid.
func ParsePolicy(body []byte) (Policy, error) {
	var p parser
	if !utf8.Valid(body) {
		return Policy{}, fmt.Errorf("%w: not UTF-8", ErrInvalid)
	}
	number := 0
	for line := range strings.Lines(string(body)) {
		number++
		if text, ended := strings.CutSuffix(line, "\n"); ended {
			line = strings.TrimSuffix(text, "\r")
		}
		if err := p.line(line); err != nil {
			return Policy{}, fmt.Errorf("%w: line %d: %w", ErrInvalid, number, err)
		}
	}
	if err := p.complete(); err != nil {
		return Policy{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return p.policy, nil
}

// parser collects the fields of a policy.
type parser struct {
	policy                Policy
	version, mode, maxAge bool
}

func (p *parser) line(line string) error {
	name, value, found := strings.Cut(line, ":")
	if !found || !isFieldName(name) {
		return errors.New("no field name and colon")
	}
	value = strings.Trim(value, " \t")
	if !isPolicyValue(value) {
		return errors.New("malformed value")
	}
	switch {
	case name == "version" && !p.version:
		p.version = true
		if value != "STSv1" {
			return errors.New("unknown version")
		}
	case name == "mode" && !p.mode:
		p.mode = true
		p.policy.Mode = Mode(value)
		return p.policy.Mode.check()
	case name == "max_age" && !p.maxAge:
		p.maxAge = true
		return p.policy.setMaxAge(value)
	case name == "mx":
		return p.policy.addPattern(value)
	}
	return nil
}

func (p *parser) complete() error {
	switch {
	case !p.version:
		return errors.New("no version")
	case !p.mode:
		return errors.New("no mode")
	case !p.maxAge:
		return errors.New("no max_age")
	case len(p.policy.MX) == 0 && p.policy.Mode != None:
		return errors.New("no mx")
	}
	return nil
}

func (m Mode) check() error {
	if m != Enforce && m != Testing && m != None {
		return errors.New("unknown mode")
	}
	return nil
}

// setMaxAge takes longer times than are allowed for the longest.
func (p *Policy) setMaxAge(value string) error {
	if len(value) > 10 || !every(value, isDigit) {
		return errors.New("max_age is not a number of up to ten digits")
	}
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return err
	}
	p.MaxAge = time.Duration(min(seconds, int64(MaxAge/time.Second))) * time.Second
	return nil
}

func (p *Policy) addPattern(value string) error {
	pattern := strings.ToLower(value)
	if !isPattern(pattern) {
		return errors.New("mx is not a host name or *. and a host name")
	}
	p.MX = append(p.MX, pattern)
	return nil
}

// isPattern holds for a Domain of RFC 5321 section 4.1.2 in lower case, with or
// without one wildcard as its left-most label.
func isPattern(pattern string) bool {
	name := strings.TrimPrefix(pattern, "*.")
	domain, err := mail.ParseDomain(name)
	return err == nil && string(domain) == name && !strings.HasPrefix(name, "[") && !strings.Contains(name, "_")
}

// isPolicyValue holds for visible characters, ASCII or not, with single or
// repeated spaces among them.
func isPolicyValue(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// Allows reports whether host, a name as the MX record has it, is one that the
// policy names (section 4.1). A wildcard stands for exactly one label.
func (p Policy) Allows(host mail.Domain) bool {
	_, parent, _ := strings.Cut(string(host), ".")
	return slices.ContainsFunc(p.MX, func(pattern string) bool {
		if below, wildcard := strings.CutPrefix(pattern, "*."); wildcard {
			return below == parent
		}
		return pattern == string(host)
	})
}

// Lines returns the policy line by line, as reports carry it (RFC 8460 section
// 4.4).
func (p Policy) Lines() []string {
	lines := []string{"version: STSv1", "mode: " + string(p.Mode)}
	for _, pattern := range p.MX {
		lines = append(lines, "mx: "+pattern)
	}
	return append(lines, fmt.Sprintf("max_age: %d", p.MaxAge/time.Second))
}

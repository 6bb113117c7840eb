package account

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Parameter is one of a URL's query, neither part encoded.
type Parameter struct{ Name, Value string }

// UTM are parameters for the query of links, such as utm_source and
// utm_campaign, in their order.
type UTM []Parameter

// Bounds of UTM.
const (
	maxParameters     = 16
	maxParameterOctet = 1024
)

// ErrUTM is wrapped by the errors of ParseUTM.
var ErrUTM = errors.New("expected name=value pairs with & between them, of letters, digits, -, . and _ in names, each name once")

// ParseUTM reads name=value pairs with & between them, percent-encoded or not,
// as a URL has them.
func ParseUTM(text string) (UTM, error) {
	var u UTM
	for pair := range strings.SplitSeq(text, "&") {
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		value, err := url.QueryUnescape(strings.TrimSpace(value))
		p := Parameter{name, value}
		if !ok || err != nil || !p.valid() || u.has(name) || len(u) == maxParameters {
			return nil, ErrUTM
		}
		u = append(u, p)
	}
	return u, nil
}

func (p Parameter) valid() bool {
	strange := func(r rune) bool {
		return (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	return p.Name != "" && len(p.Name) <= maxParameterOctet && !strings.ContainsFunc(p.Name, strange) &&
		len(p.Value) <= maxParameterOctet && utf8.ValidString(p.Value) && !strings.ContainsFunc(p.Value, control)
}

func (u UTM) has(name string) bool {
	return slices.ContainsFunc(u, func(p Parameter) bool { return p.Name == name })
}

// String is the inverse of ParseUTM: percent-encoded, in order.
func (u UTM) String() string {
	pairs := make([]string, len(u))
	for i, p := range u {
		pairs[i] = p.String()
	}
	return strings.Join(pairs, "&")
}

// String returns name=value, percent-encoded.
func (p Parameter) String() string {
	return p.Name + "=" + strings.ReplaceAll(url.QueryEscape(p.Value), "+", "%20")
}

// Fill puts a message's campaign, stream and first tag in the place of
// {campaign}, {stream} and {tag}, and leaves out what is then empty.
func (u UTM) Fill(campaign, stream, tag string) UTM {
	marks := strings.NewReplacer("{campaign}", campaign, "{stream}", stream, "{tag}", tag)
	var filled UTM
	for _, p := range u {
		if p.Value = marks.Replace(p.Value); p.Value != "" {
			filled = append(filled, p)
		}
	}
	return filled
}

package mail

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Domain is the right-hand side of an address in its one normal form: lower
// case, internationalised labels as A-labels (RFC 5890), no trailing dot; or an
// address literal in brackets (RFC 5321 section 4.1.3). The zero Domain is that
// of the null reverse-path.
type Domain string

// ErrDomain is wrapped by every error of ParseDomain.
var ErrDomain = errors.New("invalid domain")

const (
	maxDomain = 253
	maxLabel  = 63
)

// ParseDomain normalises s, which may be in Unicode, in any case, and may end
// in one dot. An address without brackets is no domain: whoever resolves it
// would be led past the name.
func ParseDomain(s string) (Domain, error) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%w: not UTF-8", ErrDomain)
	}
	if !IsASCII(s) {
		ascii, err := idna.Lookup.ToASCII(s)
		if err != nil {
			return "", fmt.Errorf("%w: not an internationalised name", ErrDomain)
		}
		s = ascii
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if s == "" {
		return "", fmt.Errorf("%w: empty", ErrDomain)
	}
	if len(s) > maxDomain {
		return "", fmt.Errorf("%w: longer than %d octets", ErrDomain, maxDomain)
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return "", fmt.Errorf("%w: address without brackets", ErrDomain)
	}
	for label := range strings.SplitSeq(s, ".") {
		if err := checkLabel(label); err != nil {
			return "", err
		}
	}
	return Domain(s), nil
}

// checkLabel allows the underscore, which hosts in the wild carry although RFC
// 5321 does not.
func checkLabel(label string) error {
	switch {
	case label == "":
		return fmt.Errorf("%w: empty label", ErrDomain)
	case len(label) > maxLabel:
		return fmt.Errorf("%w: label longer than %d octets", ErrDomain, maxLabel)
	case label[0] == '-' || label[len(label)-1] == '-':
		return fmt.Errorf("%w: label begins or ends with a hyphen", ErrDomain)
	}
	for _, c := range []byte(label) {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return fmt.Errorf("%w: character %q", ErrDomain, c)
		}
	}
	return nil
}

func parseLiteral(s string) (Domain, error) {
	inner, ok := strings.CutSuffix(s[1:], "]")
	if !ok {
		return "", fmt.Errorf("%w: address literal without its closing bracket", ErrDomain)
	}
	v6 := len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:")
	if v6 {
		inner = inner[5:]
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || addr.Is4() == v6 || addr.Zone() != "" {
		return "", fmt.Errorf("%w: address literal", ErrDomain)
	}
	if v6 {
		return Domain("[IPv6:" + addr.String() + "]"), nil
	}
	return Domain("[" + addr.String() + "]"), nil
}

// Literal returns the address inside an address literal.
func (d Domain) Literal() (addr netip.Addr, ok bool) {
	inner, ok := strings.CutPrefix(string(d), "[")
	if !ok {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(strings.TrimPrefix(strings.TrimSuffix(inner, "]"), "IPv6:"))
	return addr, err == nil
}

// String returns the normal form, as it goes on the wire.
func (d Domain) String() string { return string(d) }

// Within reports whether d is parent itself or below it.
func (d Domain) Within(parent Domain) bool {
	return d == parent || strings.HasSuffix(string(d), "."+string(parent))
}

// UnmarshalText parses as ParseDomain does.
func (d *Domain) UnmarshalText(text []byte) error {
	parsed, err := ParseDomain(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// IsASCII reports that no octet is above 127.
func IsASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

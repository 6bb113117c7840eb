package mail

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Address is a mailbox (RFC 5321 section 4.1.2, RFC 6531 section 3.3) in its
// one normal form: the local part as a dot-string wherever it can be one and
// as a minimal quoted-string otherwise, the domain as Domain has it. Addresses
// are comparable. The zero Address is the null reverse-path.
type Address struct {
	local  string
	domain Domain
}

// ErrAddress is wrapped by every error of ParseAddress.
var ErrAddress = errors.New("invalid address")

const (
	// maxLocal is RFC 5321 section 4.5.3.1.1, quotes included.
	maxLocal = 64
	// maxAddress is RFC 5321 section 4.5.3.1.3, less the angle brackets.
	maxAddress = 254
)

// ParseAddress parses local@domain without angle brackets, display name or
// source route. What it accepts can be written between angle brackets on the
// wire without a second look: it holds no control character and no unquoted
// special one.
func ParseAddress(s string) (Address, error) {
	if !utf8.ValidString(s) {
		return Address{}, fmt.Errorf("%w: not UTF-8", ErrAddress)
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return Address{}, fmt.Errorf("%w: no @", ErrAddress)
	}
	local, err := parseLocal(s[:at])
	if err != nil {
		return Address{}, err
	}
	if strings.HasSuffix(s, ".") {
		return Address{}, fmt.Errorf("%w: dot behind the domain", ErrAddress)
	}
	domain, err := ParseDomain(s[at+1:])
	if err != nil {
		return Address{}, fmt.Errorf("%w: %w", ErrAddress, err)
	}
	return join(local, domain)
}

func join(local string, domain Domain) (Address, error) {
	if len(local)+1+len(domain) > maxAddress {
		return Address{}, fmt.Errorf("%w: longer than %d octets", ErrAddress, maxAddress)
	}
	return Address{local: local, domain: domain}, nil
}

// MakeAddress joins a local part that is not quoted, as protocol libraries
// hand it over, with a domain; it quotes where the grammar asks for it.
func MakeAddress(local string, domain Domain) (Address, error) {
	if domain == "" {
		return Address{}, fmt.Errorf("%w: no domain", ErrAddress)
	}
	quoted, err := quoteLocal(local)
	if err != nil {
		return Address{}, err
	}
	return join(quoted, domain)
}

func parseLocal(s string) (string, error) {
	if len(s) > maxLocal {
		return "", fmt.Errorf("%w: local part longer than %d octets", ErrAddress, maxLocal)
	}
	if !strings.HasPrefix(s, `"`) {
		if !isDotString(s) {
			return "", fmt.Errorf("%w: local part", ErrAddress)
		}
		return quoteLocal(s)
	}
	if len(s) < 2 || s[len(s)-1] != '"' {
		return "", fmt.Errorf("%w: quoted local part does not end", ErrAddress)
	}
	if s == `""` {
		return s, nil // RFC 5321 lets a quoted-string be empty
	}
	content, err := unquote(s[1 : len(s)-1])
	if err != nil {
		return "", err
	}
	return quoteLocal(content)
}

func unquote(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return "", fmt.Errorf("%w: quote inside the quoted local part", ErrAddress)
		case '\\':
			i++
			if i == len(s) || s[i] >= utf8.RuneSelf {
				return "", fmt.Errorf("%w: backslash in the local part", ErrAddress)
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), nil
}

// quoteLocal brings an unquoted local part to its normal form.
func quoteLocal(s string) (string, error) {
	switch {
	case s == "":
		return "", fmt.Errorf("%w: empty local part", ErrAddress)
	case !utf8.ValidString(s):
		return "", fmt.Errorf("%w: not UTF-8", ErrAddress)
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return "", fmt.Errorf("%w: control character in the local part", ErrAddress)
		}
	}
	if !isDotString(s) {
		s = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	if len(s) > maxLocal {
		return "", fmt.Errorf("%w: local part longer than %d octets", ErrAddress, maxLocal)
	}
	return s, nil
}

// isDotString reports whether s is a Dot-string: atoms of atext or non-ASCII
// joined by single dots.
func isDotString(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if !isAtext(atom[i]) {
				return false
			}
		}
	}
	return true
}

func isAtext(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
		c >= utf8.RuneSelf || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// Local returns the local part as it is written on the wire, quoted where it
// must be.
func (a Address) Local() string { return a.local }

// Domain returns the normalised domain.
func (a Address) Domain() Domain { return a.domain }

// IsZero reports whether a is the null reverse-path.
func (a Address) IsZero() bool { return a == Address{} }

// ASCII reports whether a can be sent without SMTPUTF8 (RFC 6531). The domain
// always can.
func (a Address) ASCII() bool { return IsASCII(a.local) }

// String returns the address as it goes between angle brackets; empty for the
// null reverse-path.
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	return a.local + "@" + string(a.domain)
}

// Key returns the form under which two spellings of one mailbox compare equal:
// the whole address in lower case. Dots and plus suffixes are kept, since only
// the receiving provider knows what they mean.
func (a Address) Key() string { return strings.ToLower(a.String()) }

// Masked returns the address as logs may show it: the first character of the
// local part and the domain.
func (a Address) Masked() string {
	if a.IsZero() {
		return "<>"
	}
	first, size := utf8.DecodeRuneInString(a.local)
	if first == '"' && len(a.local) > size {
		first, _ = utf8.DecodeRuneInString(a.local[size:])
	}
	if !unicode.IsPrint(first) {
		first = '?' // nor may it turn the line around
	}
	return string(first) + "***@" + string(a.domain)
}

// MarshalText returns String.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText parses as ParseAddress does; the empty text is the null
// reverse-path.
func (a *Address) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Address{}
		return nil
	}
	parsed, err := ParseAddress(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

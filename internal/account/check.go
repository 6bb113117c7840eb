package account

import "fmt"

// Check says what follows when a message breaks a rule for bulk mail. A greater
// one is stricter.
type Check uint8

const (
	// CheckOff does not look.
	CheckOff Check = iota
	// CheckWarn counts it and lets it pass.
	CheckWarn
	// CheckEnforce refuses the message.
	CheckEnforce
)

// ParseCheck reads off, warn or enforce.
func ParseCheck(s string) (Check, error) {
	for c := CheckOff; c <= CheckEnforce; c++ {
		if s == c.String() {
			return c, nil
		}
	}
	return CheckOff, fmt.Errorf("%q is not off, warn or enforce", s)
}

// String is the inverse of ParseCheck.
func (c Check) String() string {
	switch c {
	case CheckOff:
		return "off"
	case CheckWarn:
		return "warn"
	case CheckEnforce:
		return "enforce"
	}
	return fmt.Sprintf("check %d", uint8(c))
}

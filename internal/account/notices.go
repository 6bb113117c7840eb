package account

import "fmt"

// Notices says of what senders are told by DSN (RFC 3461). The zero value tells
// what they ask for.
type Notices uint8

const (
	// NoticesAsked tells what NOTIFY asks for.
	NoticesAsked Notices = iota
	// NoticesOff tells nothing.
	NoticesOff
	// NoticesFailures tells of failures too where NOTIFY was not given.
	NoticesFailures
	// NoticesDelays tells of failures and delays where NOTIFY was not given.
	NoticesDelays
)

// ParseNotices reads asked, off, failures or delays.
func ParseNotices(s string) (Notices, error) {
	for n := NoticesAsked; n <= NoticesDelays; n++ {
		if s == n.String() {
			return n, nil
		}
	}
	return NoticesAsked, fmt.Errorf("%q is not off, asked, failures or delays", s)
}

// String is the inverse of ParseNotices.
func (n Notices) String() string {
	switch n {
	case NoticesAsked:
		return "asked"
	case NoticesOff:
		return "off"
	case NoticesFailures:
		return "failures"
	case NoticesDelays:
		return "delays"
	}
	return fmt.Sprintf("notices %d", uint8(n))
}

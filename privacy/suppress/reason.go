package suppress

import (
	"fmt"
	"slices"
	"strings"
)

// Reason says why an address is not mailed.
type Reason string

const (
	// HardBounce: a server said for good that there is no such address.
	HardBounce Reason = "hard_bounce"
	// SoftBounce: the mailbox was full or inactive, again and again.
	SoftBounce Reason = "soft_bounce"
	// Complaint: the reader called the mail spam.
	Complaint Reason = "complaint"
	// Unsubscribed: the reader asked for no more.
	Unsubscribed Reason = "unsubscribed"
	// Manual: the operator or the tenant said so.
	Manual Reason = "manual"
	// Erased: the person had their data erased. The address is not kept, only
	// its keyed hash, so that they stay unmailed.
	Erased Reason = "erased"
)

// Reasons returns all there are. The one that Check names, where there are
// several, is the first of them.
func Reasons() []Reason {
	return []Reason{Erased, Complaint, Unsubscribed, HardBounce, SoftBounce, Manual}
}

// ParseReason reads a reason in any letter case, with spaces or hyphens in it
// and by the names that other systems' lists give it.
func ParseReason(text string) (Reason, error) {
	if r := Reason(text); r.rank() < len(Reasons()) {
		return r, nil
	}
	name := strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(text)))
	switch name {
	case "unsubscribe":
		return Unsubscribed, nil
	case "bounce", "bounced":
		return HardBounce, nil
	case "spam", "spam_report":
		return Complaint, nil
	}
	for _, r := range Reasons() {
		if name == string(r) {
			return r, nil
		}
	}
	return "", fmt.Errorf("%w: the reason is none of %s, %s, %s, %s, %s, %s",
		ErrEntry, HardBounce, SoftBounce, Complaint, Unsubscribed, Manual, Erased)
}

// Bulk reports whether an entry without a stream keeps back only the streams
// that readers can leave: whoever wants no newsletter still gets the password
// reset that they ask for.
func (r Reason) Bulk() bool { return r == Complaint || r == Unsubscribed }

// MayExpire reports whether an entry may end with time. To forget what a
// person asked for would be to mail them again.
func (r Reason) MayExpire() bool { return r == HardBounce || r == SoftBounce || r == Manual }

// rank is the place in Reasons; behind them all for a reason of others.
func (r Reason) rank() int {
	if i := slices.Index(Reasons(), r); i >= 0 {
		return i
	}
	return len(Reasons())
}

package shape

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is a number of messages in a time; the zero Rate says nothing, one with
// fewer than no messages says that there is no limit.
type Rate struct {
	Messages int
	Per      time.Duration
}

// ParseRate reads N/s, N/min or N/hour; the empty string is no limit.
func ParseRate(s string) (Rate, error) {
	if s == "" {
		return Rate{}, nil
	}
	count, unit, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	per, known := map[string]time.Duration{"s": time.Second, "min": time.Minute, "hour": time.Hour}[strings.TrimSpace(unit)]
	if !ok || err != nil || n < 1 || !known {
		return Rate{}, fmt.Errorf("%q is not a rate such as 100/s, 100/min or 100/hour", s)
	}
	return Rate{n, per}, nil
}

// Interval is the time from one message to the next; zero without a limit.
func (r Rate) Interval() time.Duration {
	if r.Messages <= 0 {
		return 0
	}
	return r.Per / time.Duration(r.Messages)
}

// perSecond is the rate as a number; zero without a limit.
func (r Rate) perSecond() float64 {
	if r.Messages <= 0 || r.Per <= 0 {
		return 0
	}
	return float64(r.Messages) / r.Per.Seconds()
}

// String writes the rate as ParseRate reads it.
func (r Rate) String() string {
	if r.Interval() == 0 {
		return "no limit"
	}
	switch r.Per {
	case time.Second:
		return strconv.Itoa(r.Messages) + "/s"
	case time.Minute:
		return strconv.Itoa(r.Messages) + "/min"
	case time.Hour:
		return strconv.Itoa(r.Messages) + "/hour"
	}
	return fmt.Sprintf("%d in %v", r.Messages, r.Per)
}

// Family is which IP version a provider is to be reached by.
type Family string

// The choices of a Family. The empty one leaves it to the configuration.
const (
	IPv4       Family = "ipv4"
	IPv6       Family = "ipv6"
	PreferIPv4 Family = "prefer-ipv4"
	PreferIPv6 Family = "prefer-ipv6"
)

// Limits of one (source, site). A zero field says nothing: what is more
// general rules. A negative number says that there is no limit.
type Limits struct {
	// Connections at once.
	Connections int
	// MessagesPerConnection before it is closed.
	MessagesPerConnection int
	// RecipientsPerTransaction that share one copy of a message.
	RecipientsPerTransaction int
	// Rate of messages over all connections.
	Rate Rate
	// Family says which addresses of the hosts are tried.
	Family Family
	// NoPipelining sends each command only after the answer to the one before,
	// although the server offers PIPELINING (RFC 2920).
	NoPipelining bool
}

// over fills what l does not say from what is more general.
func (l Limits) over(general Limits) Limits {
	inherit(&l.Connections, general.Connections)
	inherit(&l.MessagesPerConnection, general.MessagesPerConnection)
	inherit(&l.RecipientsPerTransaction, general.RecipientsPerTransaction)
	inherit(&l.Rate, general.Rate)
	inherit(&l.Family, general.Family)
	inherit(&l.NoPipelining, general.NoPipelining)
	return l
}

func inherit[T comparable](field *T, general T) {
	var nothing T
	if *field == nothing {
		*field = general
	}
}

package shape

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is a number of messages in a time; the zero Rate is no limit.
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
	if r.Messages == 0 {
		return 0
	}
	return r.Per / time.Duration(r.Messages)
}

// Limits of one (source, site).
type Limits struct {
	// Connections at once.
	Connections int
	// MessagesPerConnection before it is closed; zero for no limit.
	MessagesPerConnection int
	// Rate of messages over all connections.
	Rate Rate
}

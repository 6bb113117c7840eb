package submission

import (
	"cmp"
	netmail "net/mail"
	"strconv"
	"strings"
	"time"
)

// expiry is the wish of X-Postrider-Expires: a time, or how long after the
// first attempt may be made; the zero value for none.
type expiry struct {
	at    time.Time
	after time.Duration
}

// parseExpires reads RFC 3339, RFC 5322, Unix seconds, or a duration such as
// 90m, 4h or 2d.
func parseExpires(value string) (expiry, error) {
	if at, err := parseDate(value); err == nil {
		return expiry{at: at}, nil
	}
	after, err := time.ParseDuration(value)
	if days, ok := strings.CutSuffix(value, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 8)
		after = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || after <= 0 {
		return expiry{}, badControl("Expires", "is no date of RFC 3339 or RFC 5322, no Unix seconds and no duration such as 4h")
	}
	return expiry{after: after}, nil
}

// parseDate reads RFC 3339, RFC 5322 or Unix seconds.
func parseDate(value string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		at, err = netmail.ParseDate(value)
	}
	if err != nil {
		var seconds int64
		seconds, err = strconv.ParseInt(value, 10, 64)
		at = time.Unix(seconds, 0)
	}
	return at, err
}

// expires is when all attempts for a message end. It may be earlier than the
// stream's maximum age has it, never later.
func (d *draft) expires(wishes controls, now time.Time) (time.Time, error) {
	begin := now
	if !wishes.sendAt.IsZero() {
		begin = wishes.sendAt
	}
	age := cmp.Or(wishes.stream.MaxAge, d.server.options.MaxAge)
	last := begin.Add(age)
	at := wishes.expiry.at
	switch {
	case wishes.expiry.after > 0:
		at = begin.Add(wishes.expiry.after)
	case at.IsZero():
		return last, nil
	}
	switch {
	case !at.After(now):
		return at, badControl("Expires", "has passed")
	case !at.After(begin):
		return at, badControl("Expires", "is not after %sSend-At", controlPrefix)
	case at.After(last):
		return at, badControl("Expires", "is more than %s after the first attempt, the most that the stream allows", age)
	}
	return at.UTC(), nil
}

package stats

import "time"

// day is one in UTC, counted from 1970-01-01.
type day uint32

const secondsPerDay = 24 * 60 * 60

// dayOf returns the day of a time; the first one for what lies before it, the
// last one with four digits for what lies behind.
func dayOf(t time.Time) day {
	last := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).Unix() / secondsPerDay
	return day(max(0, min(t.Unix()/secondsPerDay, last)))
}

func (d day) time() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

func (d day) String() string { return d.time().Format(time.DateOnly) }

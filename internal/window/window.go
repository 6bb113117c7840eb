// Package window knows the times of the week at which something may happen: by
// the clock on the wall of a place, over the changes of its daylight saving
// time. It is pure: nothing here looks at a clock.
package window

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	minutesOfDay  = 24 * 60
	minutesOfWeek = 7 * minutesOfDay
	secondsOfWeek = minutesOfWeek * 60
)

// ErrSyntax is wrapped by every error about text that is no window.
var ErrSyntax = errors.New("not a window")

// Windows are times of the week in one place. The zero value is always open.
type Windows struct {
	location *time.Location
	spans    []span
}

// span is a part of the week in minutes from Monday 00:00; it may pass the end
// of the week.
type span struct{ begin, length int }

// Parse reads windows such as "Mon-Fri 08:00-20:00", "Sat,Sun 10:00-16:00" or
// "22:00-06:00", which is every day and ends on the next. Without any it is
// always open. The location is where they are meant; nil for UTC.
func Parse(windows []string, location *time.Location) (Windows, error) {
	if location == nil {
		location = time.UTC
	}
	w := Windows{location: location}
	for _, text := range windows {
		spans, err := parse(text)
		if err != nil {
			return Windows{}, err
		}
		w.spans = append(w.spans, spans...)
	}
	return w, nil
}

// Opens returns the earliest time from now on that lies in a window; zero if
// now does, or if there are no windows.
func (w Windows) Opens(now time.Time) time.Time {
	if len(w.spans) == 0 {
		return time.Time{}
	}
	t := now.In(w.location)
	if w.inside(t) {
		return time.Time{}
	}
	for {
		// Within one offset from UTC the wall clock goes evenly. A window may
		// begin inside a change: then the change is when it opens.
		next := t.Add(w.until(t))
		_, end := t.ZoneBounds()
		if end.IsZero() || next.Before(end) {
			return next
		}
		if t = end.In(w.location); w.inside(t) {
			return t
		}
	}
}

// inside reports whether the wall clock at t stands in a window.
func (w Windows) inside(t time.Time) bool {
	minute := second(t) / 60
	for _, s := range w.spans {
		if (minute-s.begin+minutesOfWeek)%minutesOfWeek < s.length {
			return true
		}
	}
	return false
}

// until returns how long it is to the next begin of a window on a clock that
// is not put forward or back.
func (w Windows) until(t time.Time) time.Duration {
	at, least := second(t), secondsOfWeek
	for _, s := range w.spans {
		least = min(least, (s.begin*60-at+secondsOfWeek)%secondsOfWeek)
	}
	return time.Duration(least)*time.Second - time.Duration(t.Nanosecond())
}

// second counts the seconds of the week on the wall clock.
func second(t time.Time) int {
	day := (int(t.Weekday()) + 6) % 7 // Monday is the first
	return ((day*24+t.Hour())*60+t.Minute())*60 + t.Second()
}

func parse(text string) ([]span, error) {
	days, hours, named := strings.Cut(text, " ")
	if !named {
		days, hours = "Mon-Sun", text
	}
	list, err := parseDays(days)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", err, text)
	}
	begin, length, err := parseHours(hours)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", err, text)
	}
	spans := make([]span, len(list))
	for i, day := range list {
		spans[i] = span{day*minutesOfDay + begin, length}
	}
	return spans, nil
}

// parseDays reads days and ranges of days with commas between them.
func parseDays(text string) ([]int, error) {
	var days []int
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, to := weekday(first), weekday(last)
		if from < 0 || to < 0 {
			return nil, ErrSyntax
		}
		for day := from; ; day = (day + 1) % 7 {
			days = append(days, day)
			if day == to {
				break
			}
		}
	}
	return days, nil
}

func weekday(name string) int {
	for i, day := range [...]string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"} {
		if strings.EqualFold(day, name) {
			return i
		}
	}
	return -1
}

// parseHours reads HH:MM-HH:MM. An end at or before the begin is of the next
// day; 24:00 is the end of the day.
func parseHours(text string) (begin, length int, err error) {
	first, last, ok := strings.Cut(text, "-")
	begin, beginOK := clock(first)
	end, endOK := clock(last)
	if !ok || !beginOK || !endOK || begin == end || begin == minutesOfDay {
		return 0, 0, ErrSyntax
	}
	return begin, (end-begin+minutesOfDay-1)%minutesOfDay + 1, nil
}

func clock(text string) (minute int, ok bool) {
	if len(text) != len("08:00") || text[2] != ':' {
		return 0, false
	}
	for _, i := range []int{0, 1, 3, 4} {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	hour, minute := int(text[0]-'0')*10+int(text[1]-'0'), int(text[3]-'0')*10+int(text[4]-'0')
	total := hour*60 + minute
	return total, minute < 60 && total <= minutesOfDay
}

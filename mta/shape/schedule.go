package shape

import "fmt"

// Schedule is how a new source becomes known to a provider: so many messages a
// day, more from day to day as long as the provider takes them well.
type Schedule struct {
	// Daily caps, one for each step. After the last the source is warm.
	Daily []int
	// MaxDeferred and MaxComplaints are shares, from 0 to 1, of a day's
	// messages. Above them the source goes one step back.
	MaxDeferred, MaxComplaints float64
}

// over fills what s does not say from what is more general.
func (s Schedule) over(general Schedule) Schedule {
	if len(s.Daily) == 0 {
		s.Daily = general.Daily
	}
	inherit(&s.MaxDeferred, general.MaxDeferred)
	inherit(&s.MaxComplaints, general.MaxComplaints)
	return s
}

// cap of a step; the last one holds for what lies beyond.
func (s Schedule) cap(step int) int {
	if len(s.Daily) == 0 {
		return 0
	}
	return s.Daily[min(max(step, 0), len(s.Daily)-1)]
}

// percent is how shares are written in files.
const percent = 100

func readSchedule(t *table, s *Schedule) {
	read(t, "daily", "a list of growing whole numbers above 0", &s.Daily, func(v any) ([]int, bool) {
		var daily []int
		last := int64(0)
		for _, one := range asList(v) {
			n, ok := one.(int64)
			if !ok || n <= last || n > 1<<40 {
				return nil, false
			}
			daily, last = append(daily, int(n)), n
		}
		return daily, len(daily) > 0
	})
	t.share("max_deferred_percent", &s.MaxDeferred)
	t.share("max_complaints_percent", &s.MaxComplaints)
	t.done()
}

// share reads a percentage.
func (t *table) share(key string, into *float64) {
	var value float64
	if t.number(key, fmt.Sprintf("a percentage above 0 and up to %d", percent), 0, percent, &value) {
		*into = value / percent
	}
}

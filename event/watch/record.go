package watch

import "time"

// record is what is known of one scope. Its exported fields are what the file
// keeps.
type record struct {
	Scope Scope `json:"scope"`
	// Mail counts over the window of bounces, Reports over that of complaints:
	// deliveries and complaints about them.
	Mail    window `json:"mail,omitzero"`
	Reports window `json:"reports,omitzero"`
	// BounceAlert and ComplaintAlert are what was last told of.
	BounceAlert    alert `json:"bounce_alert,omitzero"`
	ComplaintAlert alert `json:"complaint_alert,omitzero"`
	// Hold is the id of the hold that keeps the campaign, empty for none.
	Hold string `json:"hold,omitempty"`
	// Pauses that were made in a row, the last one until Paused.
	Pauses int       `json:"pauses,omitempty"`
	Paused time.Time `json:"paused,omitzero"`
	// Released is when the operator ended a hold. What was delivered before is
	// not judged again: Cohort has what was delivered since.
	Released time.Time `json:"released,omitzero"`
	Cohort   cohort    `json:"cohort,omitempty"`
	// Seen is the time of the newest event.
	Seen time.Time `json:"seen"`
	// deciding counts the decisions that were not carried out yet.
	deciding int
}

// alert is a threshold that was passed and told of.
type alert struct {
	// Acted tells the second threshold from the first.
	Acted  bool      `json:"acted,omitempty"`
	Action Action    `json:"action,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

func (r *record) alert(f Figure) *alert {
	if f == Complaints {
		return &r.ComplaintAlert
	}
	return &r.BounceAlert
}

// share is one figure of a scope at a time.
type share struct {
	Count, Sample int
	// Percent is 0 where there is no sample.
	Percent float64
}

func newShare(count, sample uint32) share {
	s := share{Count: int(count), Sample: int(sample)}
	if sample > 0 {
		s.Percent = 100 * float64(count) / float64(sample)
	}
	return s
}

// bounces are a share of all whose delivery has ended, complaints one of those
// that were delivered.
func (r *record) share(f Figure, at time.Time, o *Options) share {
	if f == Complaints {
		t := r.Reports.sum(at, o.ComplaintWindow)
		return newShare(t[complained], t[delivered])
	}
	t := r.Mail.sum(at, o.BounceWindow)
	return newShare(t[bounced], t[delivered]+t[bounced]+t[blocked]+t[failed])
}

// count takes what happened to one recipient, named by its mark. It reports
// false for what belongs to a time before the last release.
func (r *record) count(at time.Time, k kind, of mark, o *Options, room bool) (remembered bool) {
	if at.After(r.Seen) {
		r.Seen = at
	}
	if at.Before(r.Released) {
		return false
	}
	judged := r.cohortJudges(at, o)
	if k != complained {
		r.Mail.add(at, o.BounceWindow, k)
	}
	switch {
	case k == delivered && judged && !room:
		// It could not be told from what was delivered before.
	case k == delivered && judged:
		r.Cohort.add(of)
		r.Reports.add(at, o.ComplaintWindow, k)
		return true
	case k == complained && judged && !r.Cohort.has(of):
	case k == delivered, k == complained:
		r.Reports.add(at, o.ComplaintWindow, k)
	}
	return false
}

// cohortJudges reports whether complaints are only about what was delivered
// since the release: until all that was delivered before it has left the window
// and its complaints have come.
func (r *record) cohortJudges(at time.Time, o *Options) bool {
	return !r.Released.IsZero() && at.Before(r.Released.Add(2*o.ComplaintWindow))
}

// release begins anew: what was counted before is not judged again.
func (r *record) release(at time.Time) {
	*r = record{Scope: r.Scope, Seen: r.Seen, Released: at}
}

// followClock forgets counts of a time that has not come: those of a clock that
// was set back since.
func (r *record) followClock(at, now time.Time, o *Options) {
	if r.Seen.Sub(now) > time.Minute && r.Seen.Sub(at) > o.BounceWindow {
		r.Mail, r.Reports, r.Seen = window{}, window{}, at
	}
}

// idle reports that nothing would be lost with the record at a time.
func (r *record) idle(at time.Time, o *Options) bool {
	over := max(o.BounceWindow, o.ComplaintWindow)
	return r.Hold == "" && !at.Before(r.Seen.Add(over)) && !r.cohortJudges(at, o) && !at.Before(r.Paused.Add(over))
}

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
	count := t[bounced] + t[returned]
	// What comes back may have been delivered before the window.
	return newShare(count, max(count, t[delivered]+t[bounced]+t[blocked]+t[failed]))
}

// count takes what happened to one recipient, named by its mark, and reports
// whether it was remembered, for which there must be room. What belongs to a
// time before the last release is not counted.
func (r *record) count(at time.Time, k kind, of mark, o *Options, room bool) (remembered bool) {
	if at.After(r.Seen) {
		r.Seen = at
	}
	judged := r.cohortJudges(at, o)
	switch later := k == complained || k == returned; {
	case at.Before(r.Released), judged && later && !r.Cohort.has(of):
		return false
	case k != complained:
		r.Mail.add(at, o.BounceWindow, k)
	}
	if judged && k == delivered {
		if !room && !r.Cohort.has(of) {
			return false // it could not be told from what was delivered before
		}
		remembered = r.Cohort.add(of)
	}
	if k == delivered || k == complained {
		r.Reports.add(at, o.ComplaintWindow, k)
	}
	return remembered
}

// cohortJudges reports whether complaints, and bounces that come by mail, are only
// about what was delivered since the release: until all that was delivered before
// it has left the window and most of what comes of it has come.
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

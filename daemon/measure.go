package daemon

import (
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/token"
)

// readers know what may be kept of each reader, and the name that tokens have
// for one.
type readers interface {
	Allowed(tenant string, a mail.Address) (account.Measure, error)
	Person(tenant string, a mail.Address) [8]byte
}

// measured reports that something may be kept of what is asked for. Of hygiene
// clicks are none.
func (w wishes) measured() bool {
	track := w.track
	if w.measure == account.MeasureHygiene {
		track &= account.TrackOpens
	}
	return track != account.TrackNone && w.measure != account.MeasureNone
}

// heed narrows wishes down to what the reader allows. Where that is not known
// nothing is measured.
func (r *renderer) heed(w wishes, d *queue.Delivery) wishes {
	if r.readers == nil || !w.measured() || w.base == "" {
		return w
	}
	allowed, err := r.readers.Allowed(d.Message.Tenant, d.Recipient.Address)
	if err != nil {
		r.failures.WithLabelValues("consent").Inc()
		allowed = account.MeasureNone
	}
	w.measure = w.measure.Within(allowed)
	w.person = token.Person(r.readers.Person(d.Message.Tenant, d.Recipient.Address))
	return w
}

// measuring sets what is measured, and of whom its tokens tell. A measure that
// it does not know is none.
func (w wishes) measuring(o *tracking.RenderOptions, campaign string) {
	opens := w.track&account.TrackOpens != 0
	switch w.measure {
	case account.MeasureIndividual:
		o.Whom = tracking.Whom{Person: w.person}
	case account.MeasureAggregate:
		o.Whom = tracking.Whom{Counted: true, Campaign: campaign}
	case account.MeasureHygiene:
		if w.person != (token.Person{}) {
			o.Opens, o.Whom = opens, tracking.Whom{Person: w.person, LastOpen: true}
		}
		return
	default:
		return
	}
	o.Opens, o.Clicks, o.Text = opens, w.track&account.TrackClicks != 0, w.track&account.TrackText != 0
}

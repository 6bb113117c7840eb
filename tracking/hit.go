package tracking

import (
	"net/http"
	"time"

	"github.com/postrider-mta/postrider/tracking/hit"
)

// record notes a click or an opening, unless its message is too old or the
// reader asked not to be tracked.
func (t *Tracker) record(r *http.Request, h hit.Hit) {
	h.Time = time.Now()
	switch {
	case t.expired(h.Recipient.Message, h.Time):
		t.metrics.expired.Inc()
	case !t.ignoreSignals && hit.OptedOut(r.Header):
		t.metrics.optedOut.Inc()
	default:
		h.Machine = t.classifier.Request(h.Kind, r, t.client(r))
		t.recorder.addHit(h)
	}
}

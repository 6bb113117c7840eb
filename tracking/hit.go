package tracking

import (
	"net/http"
	"time"

	"github.com/postrider-mta/postrider/tracking/hit"
)

// record notes a click or an opening, if it may be.
func (t *Tracker) record(r *http.Request, kind hit.Kind, of origin, url string) {
	now := time.Now()
	if !t.heard(r, of.since(), now) {
		return
	}
	t.recorder.addHit(hit.Hit{
		Kind: kind, Machine: t.classifier.Request(kind, r, t.client(r)),
		Recipient: hit.Recipient{Message: of.message, Index: of.index}, URL: url, Time: now,
	}, of)
}

// heard reports whether a hit on a message of a time may be kept: not if that is
// too long ago, or if the reader asked not to be tracked.
func (t *Tracker) heard(r *http.Request, since, now time.Time) bool {
	switch {
	case t.recordFor > 0 && now.Sub(since) > t.recordFor:
		t.metrics.expired.Inc()
		return false
	case !t.ignoreSignals && hit.OptedOut(r.Header):
		t.metrics.optedOut.Inc()
		return false
	}
	return true
}

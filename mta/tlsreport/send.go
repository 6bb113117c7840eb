package tlsreport

import (
	"context"
	"errors"
	"time"
)

// attempt tries to send one report.
func (r *Reporter) attempt(ctx context.Context, w *waiting) {
	began, how := time.Now(), ""
	if ctx.Err() == nil {
		how = r.send(ctx, w)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w.busy = false
	if ctx.Err() != nil && how == "" {
		return // we were stopped: that is no failure of theirs
	}
	w.attempts++
	if w.first.IsZero() {
		w.first = began
	}
	r.dirty = true
	if how != "" {
		r.finish(w, how)
		return
	}
	pause := min(r.options.Retry<<min(w.attempts-1, 10), maxRetry)
	w.due = time.Now().Add(time.Duration(float64(pause) * (0.8 + 0.4*r.options.Random())))
}

// send returns how a report ended; empty where it is to be tried again.
func (r *Reporter) send(ctx context.Context, w *waiting) (how string) {
	texts, err := r.options.Lookup(ctx, recordName(w.domain))
	if err != nil {
		r.failed("lookup", w, "", err)
		return ""
	}
	record, err := ParseRecord(texts)
	switch {
	case errors.Is(err, ErrNoRecord):
		return endedUnwanted
	case err != nil:
		r.failed("record", w, "", err)
		return endedUnwanted
	}
	report := r.report(w)
	zipped, err := report.compress()
	if err != nil {
		r.failed("encoding", w, "", err)
		return endedLost
	}
	// It counts as delivered once anybody took it (RFC 8460 section 3).
	for _, to := range record.Destinations {
		if r.sendTo(ctx, w, to, report, zipped) {
			how = endedSent
		}
	}
	return how
}

func (r *Reporter) sendTo(ctx context.Context, w *waiting, to Destination, report *Report, zipped []byte) bool {
	by, err := "https", error(nil)
	if to.Endpoint != "" {
		err = r.options.Post(ctx, to.Endpoint, zipped)
	} else {
		by = "mail"
		successful, failed := w.sessions()
		l := letter{r.options.From, to.Mailbox, w.domain, report, zipped, successful, failed, time.Now()}
		err = r.options.Submit(ctx, r.options.From, to.Mailbox, l.message())
	}
	if err != nil {
		r.metrics.sent(by, "failed")
		r.failed(by, w, to.Host(), err)
		return false
	}
	r.metrics.sent(by, "ok")
	return true
}

// failed logs what no caller learns of. Neither mailboxes nor URLs are named.
func (r *Reporter) failed(step string, w *waiting, host string, err error) {
	r.options.Logger.Info("TLS report not sent", "step", step, "domain", string(w.domain),
		"day", w.day.Format(time.DateOnly), "to", host, "error", err)
}

// report writes a report down. What waits is not counted in any more, so that
// no lock is needed.
func (r *Reporter) report(w *waiting) *Report {
	return &Report{
		Organization: r.options.Organization,
		DateRange:    DateRange{w.day, w.day.Add(24*time.Hour - time.Second)},
		Contact:      r.options.Contact.String(),
		ID:           w.id,
		Policies:     w.results(w.domain),
	}
}

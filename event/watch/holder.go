package watch

import (
	"context"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
)

// HolderName names the rates among the stores that the privacy duties walk, as
// the statistics are one of them: there is nothing in them to be found by an
// address. A nil Watcher, that of a daemon which watches nothing, holds nothing
// either.
func (w *Watcher) HolderName() string { return "rates" }

// Find returns 0: counts name nobody, and a mark of a delivery or complaint names
// a message and a place in it by a hash; whose that was only the event log knows.
func (w *Watcher) Find(context.Context, person.Subject) (int, error) { return 0, nil }

// Export yields nothing, see Find.
func (w *Watcher) Export(context.Context, person.Subject, func(person.Record) error) error {
	return nil
}

// Rectify changes nothing, see Find.
func (w *Watcher) Rectify(context.Context, person.Subject, mail.Address) (int, error) { return 0, nil }

// Erase removes nothing, see Find.
func (w *Watcher) Erase(context.Context, person.Subject) (int, error) { return 0, nil }

// Expire forgets what is over by the rates' own terms, which are days at most,
// and returns how many marks that was.
func (w *Watcher) Expire(context.Context, time.Time) (int, error) {
	if w == nil {
		return 0, nil
	}
	w.mu.Lock()
	before := w.remembered
	w.forget(w.options.Now())
	gone := before - w.remembered
	w.dirty = w.dirty || gone > 0
	w.mu.Unlock()
	return gone, w.save()
}

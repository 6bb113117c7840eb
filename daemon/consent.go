package daemon

import (
	"context"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/privacy/consent"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/token"
)

func (d *daemon) startConsent(c *config.Config) error {
	store, err := consent.Open(consent.Options{Path: filepath.Join(c.DataDir, "consent.db"), Logger: d.logger})
	if err != nil {
		return err
	}
	d.consents = store
	d.cleanups.add("consent", func(context.Context) error { return store.Close() })
	return d.metrics.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "postrider_tracking_openings_dropped_total",
		Help: "Openings of hygiene mail that found no room to wait in.",
	}, func() float64 { return float64(store.Dropped()) }))
}

// openings keep the days of last openings.
type openings struct{ consents *consent.Store }

var _ tracking.Openings = openings{}

// NoteOpen implements tracking.Openings. Whether the reader still allows it is
// asked there.
func (o openings) NoteOpen(person token.Person, at time.Time) { o.consents.NoteOpen(person, at) }

// consenting records the hits of readers who allow it at that time, and drops
// those of others: their links still lead where they should.
type consenting struct {
	to       tracking.Recorder
	consents *consent.Store
	// origin finds the accepted event of a recipient, for links of before they
	// told whose they are.
	origin   func(message string, index int) (event.Event, bool, error)
	withheld prometheus.Counter
}

var _ tracking.Recorder = (*consenting)(nil)

func newConsenting(to tracking.Recorder, consents *consent.Store, origin func(string, int) (event.Event, bool, error), metrics prometheus.Registerer) (*consenting, error) {
	c := &consenting{to: to, consents: consents, origin: origin, withheld: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "postrider_tracking_disallowed_total",
		Help: "Clicks and opens answered and not recorded, since their readers do not allow it.",
	})}
	return c, metrics.Register(c.withheld)
}

// Record implements tracking.Recorder. A withdrawal waits until it is over, so
// that nothing is recorded once one is answered.
func (c *consenting) Record(ctx context.Context, events []event.Event) error {
	return c.consents.Recording(ctx, func() error {
		allowed := c.allowed(events)
		if len(allowed) > 0 {
			if err := c.to.Record(ctx, allowed); err != nil {
				return err
			}
		}
		c.withheld.Add(float64(len(events) - len(allowed)))
		return nil
	})
}

// allowed returns the events that may be recorded.
func (c *consenting) allowed(events []event.Event) []event.Event {
	if c.consents.Unlimited() {
		return events
	}
	kept := make([]event.Event, 0, len(events))
	for i := range events {
		if c.allows(&events[i]) {
			kept = append(kept, events[i])
		}
	}
	return kept
}

// allows reports whether an event may be recorded. One that names no message is
// nobody's. Where it is not known whose a hit is, or what they allow, it may not
// be.
func (c *consenting) allows(e *event.Event) bool {
	if e.Type != event.Opened && e.Type != event.Clicked || e.Message == "" {
		return true
	}
	person := e.Person
	if person == (event.Person{}) {
		accepted, found, err := c.origin(e.Message, e.Index)
		if err != nil || !found {
			return false
		}
		address, err := mail.ParseAddress(accepted.Recipient)
		if err != nil {
			return false
		}
		person = c.consents.Person(accepted.Tenant, address)
	}
	measure, err := c.consents.AllowedOf(person)
	return err == nil && measure.Allows(account.MeasureIndividual)
}

package watch

import (
	"context"
	"log/slog"
	"time"
)

// Figure is what is a share of the mail.
type Figure string

const (
	// Bounces are hard bounces: mailboxes that do not exist, or no longer.
	Bounces Figure = "bounces"
	// Complaints are reports of readers that a message is spam.
	Complaints Figure = "complaints"
)

// Action is what follows from a share that is too large.
type Action string

const (
	// Warn tells of it and leaves the mail alone.
	Warn Action = "warn"
	// Slow pauses the campaign again and again, for longer each time.
	Slow Action = "slow"
	// Hold holds the campaign until the operator releases it.
	Hold Action = "hold"
)

// strength orders actions.
func (a Action) strength() int {
	switch a {
	case Warn:
		return 1
	case Slow:
		return 2
	case Hold:
		return 3
	}
	return 0
}

// Limits are the thresholds of one figure, in percent.
type Limits struct {
	// Warn is told of; at Act there is an action too.
	Warn, Act float64
}

// Rules are what holds for a stream of a tenant.
type Rules struct {
	Bounces, Complaints Limits
	// Minimum is how many recipients a share must be of to be judged.
	Minimum int
	// Action at the Act of a campaign; other scopes are warned of.
	Action Action
}

func (r *Rules) limits(f Figure) Limits {
	if f == Complaints {
		return r.Complaints
	}
	return r.Bounces
}

// Options say what is watched and what follows.
type Options struct {
	// Path of the file that keeps the counts over restarts.
	Path string
	// Logger receives what an operator must know; nil discards it.
	Logger *slog.Logger
	// Rules returns those of a stream; of a tenant where stream is empty.
	Rules func(tenant, stream string) Rules
	// HoldID makes the id of a hold, the same for the same time and seed.
	HoldID func(at time.Time, seed string) string
	// Act carries a decision out: it tells of it durably, then does it. It is
	// called again with the same one until it returns nil, after a restart too.
	Act func(ctx context.Context, d *Decision) error
	// Holding returns the ids of the holds in force.
	Holding func(ctx context.Context) (map[string]bool, error)
	// BounceWindow and ComplaintWindow are the spans looked at; zero for 1 and
	// 24 hours.
	BounceWindow, ComplaintWindow time.Duration
	// Scopes bounds the tenants, streams and campaigns that are counted, and the
	// providers as well; zero for 10,000.
	Scopes int
	// Cohort bounds the deliveries remembered of campaigns that were released,
	// in all; zero for 500,000.
	Cohort int
	// Now is the clock against which those of events are held; nil for time.Now.
	Now func() time.Time
	// Save is how often the file is written; zero for 30 seconds.
	Save time.Duration
}

const (
	defaultBounceWindow    = time.Hour
	defaultComplaintWindow = 24 * time.Hour
	defaultScopes          = 10_000
	defaultCohort          = 500_000
	defaultSave            = 30 * time.Second
)

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.BounceWindow <= 0 {
		o.BounceWindow = defaultBounceWindow
	}
	if o.ComplaintWindow <= 0 {
		o.ComplaintWindow = defaultComplaintWindow
	}
	if o.Scopes <= 0 {
		o.Scopes = defaultScopes
	}
	if o.Cohort <= 0 {
		o.Cohort = defaultCohort
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Save <= 0 {
		o.Save = defaultSave
	}
}

func (o *Options) window(f Figure) time.Duration {
	if f == Complaints {
		return o.ComplaintWindow
	}
	return o.BounceWindow
}

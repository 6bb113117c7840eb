package shape

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// The defaults of Options.
const (
	defaultConnections = 20
	defaultIdle        = 15 * time.Minute
	defaultMaxSites    = 100_000
)

// Options of a Shaper; zero fields get the defaults.
type Options struct {
	// Default holds for every site that Sites does not name; without
	// Connections it allows 20.
	Default Limits
	// Sites has limits by the name of a site or by the end of one, whole
	// labels: "example.net" covers "mx.example.net" too, and the longest
	// match wins. Without Connections the default's number holds.
	Sites map[string]Limits
	// Backoff spaces the probes of a site that fails.
	Backoff Backoff
	// Idle is how long the failures of a site are remembered after its last
	// pause; 15 minutes.
	Idle time.Duration
	// MaxSites bounds the sites remembered; those without a connection or a
	// pause in force are forgotten first; 100,000.
	MaxSites int
	// Random returns numbers in [0, 1) for the jitter; math/rand/v2 if nil.
	Random func() float64
}

// Backoff is how long a failing site is left alone: pauses that grow
// exponentially, with jitter, each followed by one probe.
type Backoff struct {
	// First pause; 10 seconds if zero.
	First time.Duration
	// Factor multiplies each further pause; 2 if zero, below 1 counts as 1.
	Factor float64
	// Max bounds a pause; 10 minutes if zero.
	Max time.Duration
	// Jitter is the share by which a pause varies, from 0 to 1.
	Jitter float64
}

// withDefaults fills what is zero.
func (b Backoff) withDefaults() Backoff {
	if b.First <= 0 {
		b.First = 10 * time.Second
	}
	if b.Factor == 0 {
		b.Factor = 2
	}
	if b.Max <= 0 {
		b.Max = 10 * time.Minute
	}
	b.Factor = max(b.Factor, 1)
	b.Max = max(b.Max, b.First)
	b.Jitter = min(max(b.Jitter, 0), 1)
	return b
}

// pause after the given number of failures, counted from 1.
func (b Backoff) pause(failures int, random float64) time.Duration {
	pause := float64(b.First) * math.Pow(b.Factor, float64(max(failures, 1)-1))
	pause = min(pause, float64(b.Max))
	return time.Duration(pause * (1 + b.Jitter*(2*random-1)))
}

func (o Options) withDefaults() Options {
	if o.Default.Connections <= 0 {
		o.Default.Connections = defaultConnections
	}
	if o.Idle <= 0 {
		o.Idle = defaultIdle
	}
	if o.MaxSites <= 0 {
		o.MaxSites = defaultMaxSites
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	o.Backoff = o.Backoff.withDefaults()
	return o
}

// limitTable is the part of the options that Configure replaces.
type limitTable struct {
	otherwise Limits
	sites     map[string]Limits
}

func (o *Options) table() limitTable { return limitTable{o.Default, o.Sites} }

// of finds what holds for a site: its own entry, then ever shorter ends of
// its name, then the default.
func (t *limitTable) of(site string) Limits {
	for name := site; name != ""; {
		if l, ok := t.sites[name]; ok {
			if l.Connections <= 0 {
				l.Connections = t.otherwise.Connections
			}
			return l
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return t.otherwise
}

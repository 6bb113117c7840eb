package shape

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// The defaults of Options.
const (
	defaultConnections = 20
	defaultIdle        = 15 * time.Minute
	defaultMaxSites    = 100_000
	defaultMaxProbes   = 100
)

// Options of a Shaper; zero fields get the defaults.
type Options struct {
	// Default holds for every site that neither Providers nor Sites say
	// something of; without Connections it allows 20.
	Default Limits
	// Providers are the rules of large receivers; nil for none.
	Providers *Providers
	// Sites has limits by the name of a site or by the end of one, whole
	// labels: "example.net" covers "mx.example.net" too, and the longest
	// match wins. They go over those of the provider, and fields that they leave
	// out are the provider's, or else the default's.
	Sites map[string]Limits
	// Warming are the sources that are new, and follow the schedules of
	// warm-up.
	Warming []string
	// Categorize names the bounce.Category of a reply, for rules that ask for
	// one, where no Outcome says it; nil for none.
	Categorize func(mail.Reply) string
	// Backoff spaces the probes of a site that fails.
	Backoff Backoff
	// Idle is how long the failures of a site are remembered after its last
	// pause; 15 minutes.
	Idle time.Duration
	// MaxSites bounds the sites remembered; those without a connection or a
	// pause in force are forgotten first; 100,000.
	MaxSites int
	// MaxProbes bounds the connections that are being tried at once to routes
	// that failed before, so that many dead ones leave room for the others; 100.
	MaxProbes int
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
	if o.MaxProbes <= 0 {
		o.MaxProbes = defaultMaxProbes
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Categorize == nil {
		o.Categorize = func(mail.Reply) string { return "" }
	}
	o.Backoff = o.Backoff.withDefaults()
	return o
}

// conducts is the part of the options that Configure replaces: how sites are
// to be treated.
type conducts struct {
	otherwise Limits
	sites     map[string]Limits
	providers *Providers
}

func (o *Options) conducts() conducts { return conducts{o.Default, o.Sites, o.Providers} }

// conduct is how one site is to be treated.
type conduct struct {
	limits   Limits
	provider *Provider
	rules    []*Rule
	schedule Schedule
}

// warmUpName is the provider that a source becomes known to; all sites without
// one are as one.
func (c *conduct) warmUpName() string {
	if c.provider == nil {
		return otherProviders
	}
	return c.provider.Name
}

// otherProviders stands for all sites without a provider.
const otherProviders = "others"

// of says how to treat a site: by what Sites has for it or for ever shorter
// ends of its name, by what is known of its provider, and by the defaults.
func (c *conducts) of(site, route string) conduct {
	found := conduct{provider: c.providers.ofSite(site, route)}
	found.rules = c.providers.rules(found.provider)
	found.limits = c.ofSite(site)
	if p := found.provider; p != nil {
		found.limits = found.limits.over(p.Limits)
		found.schedule = p.WarmUp
	}
	found.limits = found.limits.over(c.otherwise)
	if found.limits.Connections < 0 {
		found.limits.Connections = math.MaxInt32
	}
	if c.providers != nil {
		found.schedule = found.schedule.over(c.providers.warmUp)
	}
	return found
}

func (c *conducts) ofSite(site string) Limits {
	for name := site; name != ""; {
		if l, ok := c.sites[name]; ok {
			return l
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return Limits{}
}

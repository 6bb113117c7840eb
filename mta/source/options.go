package source

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Options of a Set. Sources and Pools must be set; other zero fields get the
// defaults given.
type Options struct {
	Sources []Source
	Pools   []Pool
	// Assignments say whose mail leaves by which pool.
	Assignments []Assignment
	// Default is the pool of mail that no assignment names; the first of Pools
	// if empty.
	Default string

	// Room says whether a source that is being warmed up may still be given a
	// message for a site; nil for always. It may be called from several
	// goroutines and must not call the Set.
	Room func(source, site string) bool
	// Warming says whether a source is being warmed up at a site; nil for
	// never. What another source cannot take is given to one that is not,
	// where there is one.
	Warming func(source, site string) bool

	// Block is how many recipients of a message, in their order, leave from
	// one source, so that they can share a transaction; 50.
	Block int
	// Bind, Proxy and Blocked space the probes of sources suspended for that.
	// They begin at 10 seconds, 5 seconds and 1 hour, and end at 5 minutes, 2
	// minutes and 1 day; jitter is 20 percent.
	Bind, Proxy, Blocked Backoff
	// ProbeTimeout is how long a probe may go without a result before another
	// is sent; 5 minutes.
	ProbeTimeout time.Duration
	// MaxSuspensions bounds what is remembered; 100,000. Beyond it, the
	// suspension that ends first is forgotten.
	MaxSuspensions int
	// Random returns numbers in [0, 1) for the jitter; math/rand/v2 if nil.
	Random func() float64
}

// Backoff is how long a source is left alone: pauses that double, each
// followed by one probe.
type Backoff struct {
	// First and longest pause.
	First, Max time.Duration
	// Jitter is the share by which a pause varies, from 0 to 1.
	Jitter float64
}

// pause after the given number of failures, counted from 1.
func (b Backoff) pause(failures int, random float64) time.Duration {
	pause := float64(b.First) * math.Pow(2, float64(min(failures, 64)-1))
	pause = min(pause, float64(b.Max))
	return time.Duration(pause * (1 + b.Jitter*(2*random-1)))
}

func (b Backoff) or(first, longest time.Duration) Backoff {
	if b.First <= 0 {
		return Backoff{first, longest, 0.2}
	}
	b.Max = max(b.Max, b.First)
	b.Jitter = min(max(b.Jitter, 0), 1)
	return b
}

func (o Options) withDefaults() Options {
	o.Bind = o.Bind.or(10*time.Second, 5*time.Minute)
	o.Proxy = o.Proxy.or(5*time.Second, 2*time.Minute)
	o.Blocked = o.Blocked.or(time.Hour, 24*time.Hour)
	if o.Room == nil {
		o.Room = func(string, string) bool { return true }
	}
	if o.Warming == nil {
		o.Warming = func(string, string) bool { return false }
	}
	if o.Block <= 0 {
		o.Block = 50
	}
	if o.ProbeTimeout <= 0 {
		o.ProbeTimeout = 5 * time.Minute
	}
	if o.MaxSuspensions <= 0 {
		o.MaxSuspensions = 100_000
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return o
}

// ErrOptions is wrapped by the errors of New and Configure.
var ErrOptions = errors.New("invalid sources and pools")

// table is what the configuration says, ready to be asked. It never changes.
type table struct {
	sources  map[string]*Source
	pools    map[string]*pool
	assigned map[[2]string]string // by tenant and stream
	fallback string
}

type pool struct {
	name    string
	members []member
	tenants []string
}

type member struct {
	source *Source
	weight float64
	hash   uint64
}

func newTable(o *Options) (*table, error) {
	t := &table{sources: map[string]*Source{}, pools: map[string]*pool{}, assigned: map[[2]string]string{}}
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrOptions}, args...)...))
	}
	for _, s := range o.Sources {
		if _, twice := t.sources[s.Name]; twice || s.Name == "" {
			wrong("source %q without a name or twice", s.Name)
		}
		t.sources[s.Name] = &s
	}
	for _, p := range o.Pools {
		if _, twice := t.pools[p.Name]; twice || p.Name == "" {
			wrong("pool %q without a name or twice", p.Name)
		}
		t.pools[p.Name] = t.pool(p, wrong)
	}
	for _, a := range o.Assignments {
		if t.pools[a.Pool] == nil {
			wrong("no pool %q, which is tenant %q's", a.Pool, a.Tenant)
		}
		t.assigned[[2]string{a.Tenant, a.Stream}] = a.Pool
	}
	if t.fallback = o.Default; t.fallback == "" && len(o.Pools) > 0 {
		t.fallback = o.Pools[0].Name
	}
	if t.pools[t.fallback] == nil {
		wrong("no default pool")
	}
	return t, errors.Join(errs...)
}

func (t *table) pool(p Pool, wrong func(string, ...any)) *pool {
	made := &pool{name: p.Name, tenants: p.Tenants}
	seen := map[string]bool{}
	for _, m := range p.Members {
		of := t.sources[m.Source]
		if of == nil || seen[m.Source] || m.Weight < 1 {
			wrong("pool %q: source %q is unknown, twice or without weight", p.Name, m.Source)
			continue
		}
		seen[m.Source] = true
		made.members = append(made.members, member{of, float64(m.Weight), hashString(hashSeed, m.Source)})
	}
	if len(p.Members) == 0 {
		wrong("pool %q has no source", p.Name)
	}
	return made
}

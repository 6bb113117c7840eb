package sts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Options of a Cache. LookupTXT and Fetcher must be set; other zero fields get
// the defaults given.
type Options struct {
	// LookupTXT returns the TXT records of a name, each with its strings
	// joined; none where there are none.
	LookupTXT func(ctx context.Context, name string) ([]string, error)
	Fetcher   Fetcher
	// Store keeps policies over restarts; nil for none.
	Store Store

	// Entries and Octets bound what is remembered; 100,000 and 64 MiB.
	Entries, Octets int
	// Patience bounds how long a look-up waits for DNS and for a policy host,
	// from the beginning of the fetch; 5 seconds. The fetch goes on without it.
	Patience time.Duration
	// RetryAfter spaces fetches of a policy that failed, doubling up to
	// Refresh; 5 minutes.
	RetryAfter time.Duration
	// Refresh is when a policy in force is fetched anew, at the latest; 24
	// hours (RFC 8461 section 10.2).
	Refresh time.Duration
	// Sweep is how often policies are looked through for what is to be
	// refreshed or forgotten; 10 minutes.
	Sweep time.Duration
	// SaveEvery spaces saves; 1 minute.
	SaveEvery time.Duration
	// Fetches bounds the fetches at once; 256.
	Fetches int

	// Logger receives what nobody else is told; slog.Default if nil.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	positive(&o.Entries, 100_000)
	positive(&o.Octets, 64<<20)
	positive(&o.Patience, 5*time.Second)
	positive(&o.RetryAfter, 5*time.Minute)
	positive(&o.Refresh, 24*time.Hour)
	positive(&o.Sweep, 10*time.Minute)
	positive(&o.SaveEvery, time.Minute)
	positive(&o.Fetches, 256)
	return o
}

func positive[T ~int | ~int64](field *T, otherwise T) {
	if *field <= 0 {
		*field = otherwise
	}
}

// Cache finds the policies of domains and remembers them. Its methods may be
// called from any goroutine.
type Cache struct {
	options Options

	// ctx ends with the cache, work with the last goroutine.
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
	// slots bounds the fetches, background those of them that nobody waits for.
	slots, background chan struct{}

	mu      sync.Mutex
	closed  bool
	entries *shelf
	flights map[mail.Domain]*flight
	// changed holds while there is something to save.
	changed bool
	stats   Stats
}

// Stats counts since the start.
type Stats struct {
	// Entries in the cache now.
	Entries int
	// Fetches ended, and those of them that brought no policy.
	Fetches, Failures uint64
}

// Found is what is known of a domain's policy.
type Found struct {
	// Policy holds where Mode is not empty.
	Policy Policy
	// ID of the record under which the policy was fetched.
	ID string
	// Expires is when the policy ends unless it is fetched again.
	Expires time.Time
	// Err says why there is no policy, or no newer one, although the domain has
	// a record: it wraps ErrFetch, ErrWebPKI or ErrInvalid, or is the error of
	// LookupTXT.
	Err error
}

// New reads what the store has; Close ends what it starts. What the store has
// but cannot be used is set aside and logged: policies can be fetched again.
func New(o Options) *Cache {
	o = o.withDefaults()
	ctx, stop := context.WithCancel(context.Background())
	c := &Cache{
		options: o, ctx: ctx, stop: stop,
		slots: make(chan struct{}, o.Fetches), background: make(chan struct{}, max(1, o.Fetches/8)),
		entries: newShelf(o.Entries, o.Octets),
		flights: make(map[mail.Domain]*flight),
	}
	c.load(time.Now())
	c.work.Go(c.maintain)
	return c
}

// Close ends fetches, saves what changed, and waits.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.work.Wait()
	c.save()
}

// Stats returns the counters.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := c.stats
	stats.Entries = c.entries.len()
	return stats
}

// Lookup finds the policy for mail to domain as RFC 8461 section 5.1 says. It
// waits for DNS and the policy host no longer than Options.Patience; a policy
// that still holds serves whatever else fails.
func (c *Cache) Lookup(ctx context.Context, domain mail.Domain) Found {
	ctx, cancel := context.WithTimeout(ctx, c.options.Patience)
	defer cancel()
	id, err := c.record(ctx, domain)
	if err != nil {
		found := c.known(domain, time.Now())
		if !errors.Is(err, ErrNoRecord) {
			found.Err = err
		}
		return found
	}
	flight := c.need(domain, id, time.Now())
	if flight != nil {
		flight.wait(ctx, c.options.Patience)
	}
	return c.outcome(domain, id, time.Now())
}

func (c *Cache) record(ctx context.Context, domain mail.Domain) (id string, err error) {
	texts, err := c.options.LookupTXT(ctx, "_mta-sts."+string(domain))
	if err != nil {
		return "", err
	}
	return ParseRecord(texts)
}

// known returns the policy that still holds, if there is one.
func (c *Cache) known(domain mail.Domain, now time.Time) Found {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries.get(domain)
	if !ok || !e.holds(now) {
		return Found{}
	}
	return e.found()
}

// need returns the fetch that must be waited for; nil where what is known
// serves. A refresh that is due goes on in the background.
func (c *Cache) need(domain mail.Domain, id string, now time.Time) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries.get(domain)
	switch {
	case ok && e.holds(now) && e.id == id:
		if now.After(e.next) {
			c.join(domain, id, true)
		}
		return nil
	case ok && e.failedID == id && now.Before(e.next):
		return nil
	}
	return c.join(domain, id, false)
}

// errPending: a look-up's patience ended before the fetch did.
var errPending = errors.New("policy host is slow to answer")

// outcome returns what is known now, with the reason why it is not the policy
// of id.
func (c *Cache) outcome(domain mail.Domain, id string, now time.Time) Found {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries.get(domain)
	var found Found
	if ok && e.holds(now) {
		found = e.found()
	}
	switch {
	case found.Policy.Mode != "" && found.ID == id:
		return found
	case ok && e.failedID == id:
		found.Err = e.failure
	default:
		found.Err = fmt.Errorf("%w: %w", ErrFetch, errPending)
	}
	return found
}

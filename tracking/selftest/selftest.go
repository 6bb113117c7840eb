package selftest

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/tracking/token"
)

// atOnce bounds the probes under way.
const atOnce = 16

// Options of Domains. Keys are required.
type Options struct {
	Keys *token.Keyring
	// Resolvers are the IP addresses and ports of the name servers that find the
	// domains, each asked where those before it do not answer; none for the
	// system's.
	Resolvers []string
	// Roots are the authorities trusted; nil for the system's.
	Roots *x509.CertPool
	// Probe replaces the real one in tests.
	Probe func(ctx context.Context, url string) (Answer, error)
	// Logger is slog.Default when nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
}

// ErrOptions is wrapped by the errors of New.
var ErrOptions = errors.New("invalid self-test options")

// Domains are the tracking domains under test, each by the base of its URLs.
// What is known of them is in memory: a restart tests them anew.
type Domains struct {
	probe   func(context.Context, string) (Answer, error)
	logger  *slog.Logger
	metrics *metrics
	// slots bound the probes under way.
	slots chan struct{}
	// changed says that Set was called.
	changed chan struct{}

	mutex   sync.Mutex
	domains map[string]*domain
	// disabled makes every URL usable.
	disabled bool
}

// New returns Domains that know no URL yet and test nothing before Run.
func New(o Options) (*Domains, error) {
	if o.Keys == nil {
		return nil, ErrOptions
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	probe := o.Probe
	if probe == nil {
		probe = newFetcher(o).fetch
	}
	return &Domains{
		probe: probe, logger: cmp.Or(o.Logger, slog.Default()), metrics: m,
		slots: make(chan struct{}, atOnce), changed: make(chan struct{}, 1), domains: map[string]*domain{},
	}, nil
}

// Set replaces the URLs under test; known ones keep their state and are probed
// at once. Where the test is not enabled, every URL is usable.
func (d *Domains) Set(enabled bool, urls []string) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.disabled = !enabled
	if !enabled {
		urls = nil
	}
	now, wanted := time.Now(), make(map[string]bool, len(urls))
	for _, url := range urls {
		wanted[url] = true
		if known := d.domains[url]; known != nil {
			signal(known.now)
			continue
		}
		d.domains[url] = newDomain(url, now)
		d.metrics.usable.WithLabelValues(url).Set(0)
	}
	for url, known := range d.domains {
		if wanted[url] {
			continue
		}
		if known.stop != nil {
			known.stop()
		}
		delete(d.domains, url)
		d.metrics.forget(url)
	}
	signal(d.changed)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run probes until ctx ends, and returns when no probe is under way.
func (d *Domains) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		for _, begun := range d.begin(ctx) {
			running.Go(begun)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-d.changed:
		}
	}
}

// begin returns the watches of the domains that have none.
func (d *Domains) begin(ctx context.Context) (watches []func()) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, known := range d.domains {
		if known.stop != nil {
			continue
		}
		own, cancel := context.WithCancel(ctx)
		known.stop, known.begun = cancel, time.Now()
		watches = append(watches, func() {
			defer cancel()
			d.watch(own, known)
		})
	}
	return watches
}

// watch probes a domain until ctx ends.
func (d *Domains) watch(ctx context.Context, of *domain) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case d.slots <- struct{}{}:
		}
		answer, err := d.probe(ctx, of.state.URL)
		<-d.slots
		if ctx.Err() != nil {
			return
		}
		timer := time.NewTimer(d.note(of, answer, err))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-of.now:
		}
		timer.Stop()
	}
}

// note keeps what a probe found, tells of a change, and returns how long until
// the next one.
func (d *Domains) note(of *domain, answer Answer, err error) time.Duration {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.domains[of.state.URL] != of {
		return interval // it was taken away meanwhile
	}
	now := time.Now()
	d.metrics.probed(of.state.URL, answer, err)
	if of.turn(answer, err, now) {
		d.tell(&of.state)
	}
	if ends := of.state.CertificateEnds; !ends.IsZero() && ends.Sub(now) < soon && now.Sub(of.warned) > 24*time.Hour {
		of.warned = now
		d.logger.Warn("the certificate of a tracking domain ends soon, and nobody has renewed it", "url", of.state.URL, "ends", ends.UTC())
	}
	return of.pause()
}

func (d *Domains) tell(s *State) {
	if s.Status == Working {
		d.metrics.usable.WithLabelValues(s.URL).Set(1)
		d.logger.Info("tracking domain answers", "url", s.URL)
		return
	}
	d.metrics.usable.WithLabelValues(s.URL).Set(0)
	d.logger.Warn("tracking domain does not answer: mail goes out without links to it until it does", "url", s.URL, "failures", s.Failures, "error", s.Failure)
}

// Usable reports whether links may lead to a URL. For the first success of a
// URL it waits, up to Grace after its probes began.
func (d *Domains) Usable(ctx context.Context, url string) bool {
	d.mutex.Lock()
	known := d.domains[url]
	if known == nil || known.state.Status == Working {
		defer d.mutex.Unlock()
		return known != nil || d.disabled
	}
	good, left := known.good, known.grace(time.Now())
	d.mutex.Unlock()
	if left > 0 {
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-good:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return d.working(url)
}

func (d *Domains) working(url string) bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	known := d.domains[url]
	return known != nil && known.state.Status == Working || known == nil && d.disabled
}

// Given reports whether links may lead to a URL, or may soon: unlike Usable it
// never waits.
func (d *Domains) Given(url string) bool {
	if d.working(url) {
		return true
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	known := d.domains[url]
	return known != nil && known.grace(time.Now()) > 0
}

// Withheld counts a message that goes out without links to a URL.
func (d *Domains) Withheld(url string) { d.metrics.withheld.WithLabelValues(url).Inc() }

// States returns what is known, in the order of the URLs.
func (d *Domains) States() []State {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	states := make([]State, 0, len(d.domains))
	for _, known := range d.domains {
		states = append(states, known.state)
	}
	slices.SortFunc(states, func(a, b State) int { return cmp.Compare(a.URL, b.URL) })
	return states
}

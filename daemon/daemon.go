// Package daemon puts the rooms together: it opens, wires and starts them in
// order, and stops them in reverse. Nothing here decides anything about mail.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/postrider-mta/postrider/daemon/config"
	eventlog "github.com/postrider-mta/postrider/event/log"
	"github.com/postrider-mta/postrider/event/stats"
	"github.com/postrider-mta/postrider/event/watch"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/delivery"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/source"
	"github.com/postrider-mta/postrider/mta/submission"
	"github.com/postrider-mta/postrider/mta/tlsreport"
	"github.com/postrider-mta/postrider/privacy"
	"github.com/postrider-mta/postrider/privacy/consent"
	"github.com/postrider-mta/postrider/privacy/suppress"
	"github.com/postrider-mta/postrider/queue/boltqueue"
	"github.com/postrider-mta/postrider/tracking/certificate"
	"github.com/postrider-mta/postrider/tracking/hit"
	"github.com/postrider-mta/postrider/tracking/selftest"
	"github.com/postrider-mta/postrider/tracking/token"
)

// Options of a daemon.
type Options struct {
	// ConfigFile is read at the start and at each reload.
	ConfigFile string
	// Version is what the daemon says it is.
	Version string
	// Log receives the log.
	Log io.Writer
	// Reload asks for a reload with each value; nil for never.
	Reload <-chan os.Signal
}

// daemon is everything that lives between start and stop.
type daemon struct {
	options Options
	config  atomic.Pointer[config.Config]
	// begun is the configuration of the start, which rules what a reload
	// cannot change.
	begun    *config.Config
	started  time.Time
	logger   *slog.Logger
	level    *slog.LevelVar
	metrics  *prometheus.Registry
	cleanups cleanups
	// failures receives what ends a part that should not end.
	failures chan error

	accounts   *accounts
	signer     *signer
	router     *router
	shaper     *shape.Shaper
	sources    *source.Set
	proxies    proxies
	diversions diversions
	// reports is nil where none are sent.
	reports *tlsreport.Reporter
	keys    certificates
	tokens  *token.Keyring
	// hits is nil where there is no tracker.
	hits    *hit.Classifier
	domains *selftest.Domains
	// classifier says what replies mean, to all who ask.
	classifier *bounce.Classifier
	// trackingHosts are the names of the tracking domains, trackingFiles their
	// certificates where those are in files.
	trackingHosts certificate.Hosts
	trackingFiles certificate.Files

	events     *eventlog.Log
	statistics *stats.Store
	suppress   *suppress.Store
	consents   *consent.Store
	store      *boltqueue.Store
	// rates is nil where they are not watched.
	rates      *watch.Watcher
	holders    *privacy.Registry
	engine     *delivery.Engine
	submission *submission.Server
	reloading  reloader
}

// Run serves until ctx ends, then stops in order. It returns what kept it from
// starting, or from ending well.
func Run(ctx context.Context, options Options) error {
	c, err := config.Load(options.ConfigFile)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	d := newDaemon(options, c)
	if err := d.start(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = nil // asked to stop before it had begun
		}
		return errors.Join(err, d.stop())
	}
	d.logger.Info("ready", "version", options.Version, "hostname", c.Hostname, "data", c.DataDir)
	d.notify("READY=1")
	err = d.wait(ctx)
	d.logger.Info("stopping")
	d.notify("STOPPING=1")
	return errors.Join(err, d.stop())
}

func newDaemon(options Options, c *config.Config) *daemon {
	d := &daemon{
		options: options, begun: c, started: time.Now(), metrics: prometheus.NewRegistry(),
		router: &router{}, classifier: bounce.New(),
		// Each part may fail once without waiting for a reader.
		failures: make(chan error, 16),
	}
	d.config.Store(c)
	d.logger, d.level = newLogger(options.Log, c.Log)
	d.cleanups.logger = d.logger
	d.accounts = &accounts{}
	d.signer = newSigner(d.accounts, d.logger, d.metrics)
	d.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return d
}

// start brings the parts up in the order of the mail's way, from the store
// outwards, so that nobody is heard before their mail can be kept.
func (d *daemon) start(ctx context.Context) error {
	c := d.config.Load()
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	next, err := d.prepare(c)
	if err != nil {
		return err
	}
	next.apply(d)
	d.cleanups.add("router", d.router.close)
	steps := []struct {
		name  string
		start func(*config.Config) error
	}{
		{"data folder", d.lockData},
		{"events", d.startEvents},
		{"statistics", d.startStatistics},
		{"suppressions", d.startSuppressions},
		{"consent", d.startConsent},
		{"queue", d.startQueue},
		{"rates", d.startRates},
		{"holders of personal data", d.registerHolders},
		{"retention", d.startRetention},
		{"suppression of bounces", d.startListening},
		{"tracking keys", d.loadTokenKeys},
		{"tracking domains", d.startDomains},
		{"shaping", d.startShaping},
		{"diversions", d.startDiversions},
		{"TLS reports", d.startTLSReports},
		{"delivery", d.startDelivery},
		{"tracker", d.startTracker},
		{"tracking self-test", d.runDomains},
		{"bounces", d.startInbound},
		{"submission", d.startSubmission},
		{"sending of TLS reports", d.runTLSReports},
		{"admin", d.startAdmin},
	}
	for _, step := range steps {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := step.start(c); err != nil {
			return fmt.Errorf("start %s: %w", step.name, err)
		}
	}
	return nil
}

// wait returns when ctx ends or a part fails.
func (d *daemon) wait(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.failures:
			return err
		case <-d.options.Reload:
			if err := d.reload(ctx); err != nil {
				d.logger.Error("reload failed, nothing has changed", "error", err)
			}
		}
	}
}

// stop undoes the start in reverse. It also returns what parts failed with
// that nobody has heard of yet.
func (d *daemon) stop() error {
	failures := []error{d.cleanups.run()}
	for {
		select {
		case err := <-d.failures:
			failures = append(failures, err)
		default:
			return errors.Join(failures...)
		}
	}
}

// notify tells the service manager; that it cannot be told is no reason to
// stop.
func (d *daemon) notify(state string) {
	if err := notifySystemd(state); err != nil {
		d.logger.Warn("service manager was not told", "state", state, "error", err)
	}
}

func (d *daemon) startEvents(c *config.Config) error {
	log, err := eventlog.Open(eventlog.Options{Dir: filepath.Join(c.DataDir, "events"), Logger: d.logger})
	if err != nil {
		return err
	}
	d.events = log
	d.cleanups.add("events", func(context.Context) error { return log.Close() })
	return registerEventMetrics(d.metrics, log.Stats)
}

func (d *daemon) startSuppressions(c *config.Config) error {
	store, err := suppress.Open(suppress.Options{
		Path: filepath.Join(c.DataDir, "suppress.db"), Bulk: d.accounts.bulk, Rules: suppress.Rules(c.Suppression), Logger: d.logger,
	})
	if err != nil {
		return err
	}
	d.suppress = store
	d.cleanups.add("suppressions", func(context.Context) error { return store.Close() })
	return nil
}

func (d *daemon) startQueue(c *config.Config) error {
	d.hits = newClassifier(c)
	store, err := boltqueue.Open(boltqueue.Options{
		Dir: c.DataDir, Events: &loggedEvents{watchDeliveries(d.events, d.hits), d.logger, d.fullAddresses}, Logger: d.logger,
		SegmentBytes: int64(c.Queue.SegmentSize), MinFree: orNone(int64(c.Queue.MinFree)),
		SpareSegments:   orNone(c.Queue.SpareSegments),
		CheckpointBytes: int64(c.Queue.CheckpointSize), CheckpointInterval: c.Queue.CheckpointInterval,
		CompactFreeShare: c.Queue.CompactFreeShare, CompactMinBytes: int64(c.Queue.CompactMinSize),
		RestartDelay: orNone(c.Queue.RestartDelay), Opens: d.accounts.opens,
	})
	if err != nil {
		return err
	}
	d.store = store
	d.cleanups.add("queue", func(context.Context) error { return store.Close() })
	return registerQueueMetrics(d.metrics, store)
}

// orNone turns zero, which the configuration means as none, into what the
// store takes for it.
func orNone[T ~int | ~int64](value T) T {
	if value == 0 {
		return -1
	}
	return value
}

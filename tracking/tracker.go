package tracking

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/tracking/hit"
	"github.com/postrider-mta/postrider/tracking/limit"
	"github.com/postrider-mta/postrider/tracking/selftest"
	"github.com/postrider-mta/postrider/tracking/token"
	"github.com/prometheus/client_golang/prometheus"
)

// Recorder makes events durable.
type Recorder interface {
	Record(ctx context.Context, events []event.Event) error
}

// Unsubscriber ends subscriptions.
type Unsubscriber interface {
	// Unsubscribe is durable before it returns nil, and may be called again for
	// what is already done.
	Unsubscribe(ctx context.Context, tenant, stream string, address mail.Address, message string, index int) error
}

// Openings keeps on which day each person opened something last.
type Openings interface {
	// NoteOpen never waits for the disk.
	NoteOpen(person token.Person, at time.Time)
}

// Options of a Tracker. Keys, Recorder and Unsubscriber are required.
type Options struct {
	Keys         *token.Keyring
	Recorder     Recorder
	Unsubscriber Unsubscriber
	// Logger is slog.Default when nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Window is how long an event may wait to be recorded with others; zero for
	// one second. What was answered within it is lost in a crash.
	Window time.Duration
	// Buffer bounds how many events wait while they cannot be recorded; zero
	// for 100,000. Further ones are dropped and counted.
	Buffer int
	// RecordFor is how long after a message was accepted its clicks and opens
	// are recorded; zero for ever. Its links work on.
	RecordFor time.Duration
	// Classifier tells people from machines; nil for one of its own, which
	// nobody tells of deliveries.
	Classifier *hit.Classifier
	// IgnoreSignals records readers too whose browsers ask not to be tracked
	// (Sec-GPC and DNT).
	IgnoreSignals bool
	// TrustedProxies may say in X-Forwarded-For whom they speak for, and so may
	// peers over unix sockets.
	TrustedProxies []netip.Prefix
	// Limits are those of one client.
	Limits Limits
	// TLS makes Serve speak TLS; nil for plain HTTP.
	TLS *tls.Config
	// Preferences are what readers choose on the page of choices; nil for no
	// such page.
	Preferences Preferences
	// Openings receives what hygiene pixels tell; nil for nobody.
	Openings Openings
	// CleanURL takes out of the target of a click that is only counted what may
	// tell of one reader; nil takes out all but scheme and host.
	CleanURL func(target string) string
}

// ErrOptions is wrapped by the errors of New.
var ErrOptions = errors.New("invalid tracker options")

// Tracker answers tracked links. It is an http.Handler; Serve runs it with
// strict limits of its own. Shutdown must be called in either case.
type Tracker struct {
	keys         *token.Keyring
	unsubscriber Unsubscriber
	logger       *slog.Logger
	metrics      *metrics
	recorder     *recorder
	page         *page
	classifier   *hit.Classifier
	recordFor    time.Duration
	proxies      limit.Networks
	limits       limits
	choices      Preferences
	openings     Openings
	fixed        fixed
	server       *http.Server
	// ignoreSignals is that of the options.
	ignoreSignals bool
}

var _ http.Handler = (*Tracker)(nil)

// New starts a tracker's recording; Shutdown ends it.
func New(o Options) (*Tracker, error) {
	if o.Keys == nil || o.Recorder == nil || o.Unsubscriber == nil {
		return nil, fmt.Errorf("%w: keys, recorder and unsubscriber are required", ErrOptions)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Window <= 0 {
		o.Window = time.Second
	}
	if o.Buffer <= 0 {
		o.Buffer = 100_000
	}
	if o.Classifier == nil {
		o.Classifier = hit.New(hit.Options{})
	}
	if o.CleanURL == nil {
		o.CleanURL = siteOf
	}
	page, err := newPage()
	if err != nil {
		return nil, fmt.Errorf("unsubscribe page: %w", err)
	}
	metrics := newMetrics()
	t := &Tracker{
		keys: o.Keys, unsubscriber: o.Unsubscriber, logger: o.Logger,
		metrics: metrics, page: page, recorder: newRecorder(o, metrics), recordFor: o.RecordFor, fixed: newFixed(),
		proxies: o.TrustedProxies, limits: newLimits(o, metrics.refused.Inc),
		choices: o.Preferences, openings: o.Openings, classifier: o.Classifier, ignoreSignals: o.IgnoreSignals,
	}
	if err := metrics.register(o.Registerer, t.recorder.left); err != nil {
		return nil, errors.Join(fmt.Errorf("tracking metrics: %w", err), t.recorder.close(context.Background()))
	}
	t.server = newServer(t, o.Logger)
	t.server.TLSConfig = o.TLS
	return t, nil
}

// newServer bounds what a client may take: a token fits a request line, and
// nothing here needs more than a form field.
func newServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          newErrorLog(logger),
	}
}

// Serve answers on the listener until Shutdown, and then returns nil.
func (t *Tracker) Serve(l net.Listener) error {
	l = t.Limit(l)
	serve := t.server.Serve
	if t.server.TLSConfig != nil {
		serve = func(l net.Listener) error { return t.server.ServeTLS(l, "", "") }
	}
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve tracking: %w", err)
	}
	return nil
}

// Shutdown stops answering, finishes what is being answered and records what
// was, all until ctx ends. An error says what was left undone.
func (t *Tracker) Shutdown(ctx context.Context) error {
	err := t.server.Shutdown(ctx)
	if err != nil {
		t.server.Close()
	}
	return errors.Join(err, t.recorder.close(ctx))
}

// ServeHTTP answers one request.
func (t *Tracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.fixed.set(w.Header())
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, clickPath):
		t.serve(w, r, kindClick, path[len(clickPath):], t.click)
	case strings.HasPrefix(path, openPath) && strings.HasSuffix(path, openSuffix):
		t.serve(w, r, kindOpen, strings.TrimSuffix(path[len(openPath):], openSuffix), t.open)
	case strings.HasPrefix(path, unsubscribePath):
		t.serve(w, r, kindUnsubscribe, path[len(unsubscribePath):], t.unsubscribe)
	case strings.HasPrefix(path, preferencesPath):
		t.serve(w, r, kindPreferences, path[len(preferencesPath):], t.preferences)
	case strings.HasPrefix(path, selftest.Path):
		t.serve(w, r, kindProbe, path[len(selftest.Path):], t.probe)
	case t.admit(w, r, kindOther):
		t.metrics.count(kindOther, notFound(w))
	}
}

// answer handles a request with its token and returns the status it sent.
type answer func(w http.ResponseWriter, r *http.Request, token string) int

func (t *Tracker) serve(w http.ResponseWriter, r *http.Request, kind, token string, do answer) {
	if !t.admit(w, r, kind) {
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && (r.Method != http.MethodPost || !takesPosts(kind)) {
		allow := "GET, HEAD"
		if takesPosts(kind) {
			allow += ", POST"
		}
		w.Header().Set("Allow", allow)
		t.metrics.count(kind, refuse(w, http.StatusMethodNotAllowed))
		return
	}
	t.metrics.count(kind, do(w, r, token))
}

// takesPosts reports kinds whose pages have forms.
func takesPosts(kind string) bool { return kind == kindUnsubscribe || kind == kindPreferences }

// fixed are the values of the header fields of every answer, made once. Nobody
// changes them: an answer may only put others in their place.
type fixed struct{ cache, referrer, robots, sniff, policy []string }

// newFixed keeps answers out of caches, search engines, frames and referrers.
func newFixed() fixed {
	return fixed{
		cache: []string{"no-store"}, referrer: []string{"no-referrer"}, robots: []string{"noindex, nofollow"},
		sniff: []string{"nosniff"}, policy: []string{"default-src 'none'; frame-ancestors 'none'"},
	}
}

func (f *fixed) set(h http.Header) {
	h["Cache-Control"], h["Referrer-Policy"], h["X-Robots-Tag"] = f.cache, f.referrer, f.robots
	h["X-Content-Type-Options"], h["Content-Security-Policy"] = f.sniff, f.policy
}

// notFound is the answer to whatever the daemon did not make.
func notFound(w http.ResponseWriter) int { return refuse(w, http.StatusNotFound) }

// refuse answers with the status alone, in words. Unlike http.Error it keeps
// the headers.
func refuse(w http.ResponseWriter, status int) int {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(http.StatusText(status) + "\n")) // nobody is left to tell of a failure
	return status
}

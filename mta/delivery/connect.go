package delivery

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/mta/source"
	"github.com/postrider-mta/postrider/queue"
)

const (
	// maxAddresses bounds how many addresses one attempt tries.
	maxAddresses = 8
	// avoidTime is how long an address that failed is tried last.
	avoidTime = 5 * time.Minute
	// plainTime is how long a host whose TLS is broken is spared it.
	plainTime = time.Hour
	// singleTime is how long an address that does not stand several messages
	// under way gets them one at a time.
	singleTime = time.Hour
	// maxHosts bounds what is remembered of hosts.
	maxHosts = 8192
)

// errNoAddress: a route without addresses. Routers do not make any.
var errNoAddress = errors.New("route has no address")

// candidate is one address of a host.
type candidate struct {
	host route.Host
	addr netip.AddrPort
}

// connect tries the hosts of the lane in their order, address by address,
// those that failed lately last. Only when all fail does it return an error,
// that of the last.
func (w *worker) connect(ctx context.Context, first *queue.Delivery) error {
	s := w.lane.site
	s.mu.Lock()
	r, choice := w.lane.route, w.lane.choice
	s.mu.Unlock()
	var last error = errNoAddress
	for _, c := range w.engine.hosts.order(r, &choice, time.Now()) {
		session, err := w.dial(ctx, r, &choice.Source, c)
		w.observe(first, r, c, session, err)
		if err == nil {
			w.opened(session, c)
			return nil
		}
		last = err
		if ctx.Err() != nil {
			return err
		}
		if errors.Is(err, smtpclient.ErrSource) {
			w.suspendSource(&choice.Source, c, err)
			return err
		}
		if !policyFailed(err) {
			w.engine.hosts.avoid(c.addr, time.Now())
		}
	}
	return last
}

// policyFailed reports that a host answers and does not prove what was asked of
// it: that says nothing to those who ask for less.
func policyFailed(err error) bool {
	for _, cause := range []error{smtpclient.ErrTLSFloor, smtpclient.ErrHandshake, smtpclient.ErrRequireTLS} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// dial opens one connection. Where opportunistic TLS fails, it does without
// (RFC 7435 section 3).
func (w *worker) dial(ctx context.Context, r *route.Route, from *source.Source, c candidate) (Session, error) {
	o := &w.engine.options
	options := smtpclient.Options{
		LocalName: from.EHLO, LocalAddr: from.Local(c.addr.Addr()), Dial: o.Proxies(from.Name), TLSConfig: o.TLSConfig, Timeouts: o.Timeouts,
		TLS: c.host.TLS.Floor, Verify: c.host.TLS.Verify, RequireTLS: c.host.TLS.RequireTLS,
		Trace:    w.engine.tracer.of(w.lane.site.name, TraceLine{Source: from.Name, Host: c.host.Name, Remote: c.addr}),
		Sessions: o.Sessions, SessionScope: c.host.TLS.Key(),
		OneAtATime: w.slot.Limits().NoPipelining || w.engine.hosts.oneAtATime(c.addr, time.Now()),
	}
	if r.Relay != nil {
		options.ImplicitTLS = r.Relay.ImplicitTLS
		options.Username, options.Password = r.Relay.Username, r.Relay.Password
	}
	w.single = options.OneAtATime
	opportunistic := options.TLS == mail.TLSOpportunistic && !options.ImplicitTLS
	if opportunistic && w.engine.hosts.plain(c.host.Name, time.Now()) {
		options.TLS = mail.TLSNone
	}
	serverName := cmp.Or(c.host.TLS.ServerName, c.host.Name)
	session, err := o.Dialer.Dial(ctx, c.addr, serverName, options)
	if err != nil && opportunistic && options.TLS != mail.TLSNone && errors.Is(err, smtpclient.ErrHandshake) {
		w.engine.hosts.spareTLS(c.host.Name, time.Now())
		options.TLS = mail.TLSNone
		session, err = o.Dialer.Dial(ctx, c.addr, serverName, options)
	}
	w.engine.metrics.dialled(err)
	return session, err
}

// observe tells how a connection met what was asked of TLS.
func (w *worker) observe(first *queue.Delivery, r *route.Route, c candidate, session Session, err error) {
	if w.engine.options.Observe == nil || r.Relay != nil || err != nil && !policyFailed(err) {
		return
	}
	h := Handshake{
		From: first.Message.Envelope.From, Domain: first.Recipient.Address.Domain(),
		Findings: r.Findings, Host: c.host, Remote: c.addr.Addr(), Err: err,
	}
	if err == nil {
		security := session.Security()
		h.Encrypted, h.Untrusted = security.Version != "", security.Untrusted
	}
	w.engine.options.Observe(h)
}

// suspendSource leaves a source alone that cannot send at all.
func (w *worker) suspendSource(from *source.Source, c candidate, cause error) {
	what := source.Suspension{
		Source: from.Name, Name: source.SuspendedBind, Families: source.FamilyOf(c.addr.Addr()), Reason: cause.Error(),
	}
	if from.Proxy != "" {
		what.Name = source.SuspendedProxy
	}
	until := w.engine.options.Sources.Suspend(time.Now(), what)
	w.engine.options.Logger.Warn("source cannot send", "source", from.Name, "until", until, "error", cause)
}

func (w *worker) opened(session Session, c candidate) {
	extensions := session.Extensions()
	first := w.extensions.Swap(&extensions) == nil
	w.session, w.addr, w.host, w.sent = session, c.addr, c.host, 0
	w.tls = protection(session.Security(), &c.host)
	w.slot.Establish()
	w.engine.options.Sources.Connected(time.Now(), w.lane.key.source, w.lane.site.name, source.FamilyOf(c.addr.Addr()))
	w.known = w.expected()
	w.lane.site.connected(w, w.known)
	if first {
		close(w.connected)
	}
}

// hopedFor is what a connection may well carry in a round trip as soon as it
// has carried a few: others need not be opened for so little.
const hopedFor = 8

// expected is how many messages a round trip carries over this connection, as
// far as is known.
func (w *worker) expected() int {
	window := w.session.Window()
	if w.sent > 0 || window > 1 || w.single {
		return window
	}
	if e := w.session.Extensions(); !e.Chunking || !e.Pipelining {
		return window
	}
	return hopedFor
}

// extend notes how far the connection reaches now.
func (w *worker) extend() {
	if reach := w.expected(); reach != w.known {
		w.known = reach
		w.lane.site.extend(w, reach)
	}
}

// learn remembers what the connection showed of its server.
func (w *worker) learn() {
	if w.session.OneAtATime() {
		w.engine.hosts.single(w.addr, time.Now())
	}
}

// drop closes a connection that is of no more use. One that never carried a
// message makes its address the last to be tried.
func (w *worker) drop() {
	if w.session == nil {
		return
	}
	w.learn()
	if w.sent == 0 && !w.session.OneAtATime() {
		w.engine.hosts.avoid(w.addr, time.Now())
	}
	_ = w.session.Close() // it is broken or unwanted: nothing is owed to it
	w.session = nil
}

// hangUp ends the connection in good manners.
func (w *worker) hangUp() {
	if w.session == nil {
		return
	}
	w.learn()
	_ = w.session.Quit(w.engine.life.hard()) // whatever the server says to that
	w.session = nil
}

// asError finds the client's error in err; a zero one where there is none.
func asError(err error) *smtpclient.Error {
	var failed *smtpclient.Error
	if errors.As(err, &failed) {
		return failed
	}
	return &smtpclient.Error{}
}

// broken turns the error of a connection into words and reply.
func broken(err error) failure {
	if err == nil {
		return failure{}
	}
	return failure{reply: asError(err).Reply, reason: err.Error()}
}

// hosts remembers for a while which addresses do not answer, which do not stand
// several messages under way, and which hosts cannot do TLS.
type hosts struct {
	mu      sync.Mutex
	avoided map[netip.AddrPort]time.Time
	overrun map[netip.AddrPort]time.Time
	spared  map[string]time.Time
}

func newHosts() *hosts {
	return &hosts{
		avoided: map[netip.AddrPort]time.Time{}, overrun: map[netip.AddrPort]time.Time{}, spared: map[string]time.Time{},
	}
}

// order lists the addresses of a route that a source reaches, in the order to
// try them.
func (h *hosts) order(r *route.Route, from *source.Choice, now time.Time) []candidate {
	h.mu.Lock()
	defer h.mu.Unlock()
	var first, later []candidate
	for _, host := range r.Hosts {
		for _, addr := range from.Addresses(host.Addrs) {
			c := candidate{host, addr}
			if h.avoided[addr].After(now) {
				later = append(later, c)
			} else {
				first = append(first, c)
			}
		}
	}
	all := append(first, later...)
	return all[:min(len(all), maxAddresses)]
}

func (h *hosts) avoid(addr netip.AddrPort, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	remember(h.avoided, addr, now, avoidTime)
}

func (h *hosts) single(addr netip.AddrPort, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	remember(h.overrun, addr, now, singleTime)
}

func (h *hosts) oneAtATime(addr netip.AddrPort, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.overrun[addr].After(now)
}

func (h *hosts) spareTLS(name string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	remember(h.spared, name, now, plainTime)
}

func (h *hosts) plain(name string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.spared[name].After(now)
}

// remember keeps key for a while. A full map first forgets what is over, then
// anything.
func remember[K comparable](known map[K]time.Time, key K, now time.Time, keep time.Duration) {
	if len(known) >= maxHosts {
		for k, until := range known {
			if !until.After(now) {
				delete(known, k)
			}
		}
	}
	for k := range known {
		if len(known) < maxHosts {
			break
		}
		delete(known, k)
	}
	known[key] = now.Add(keep)
}

package delivery

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/smtpclient"
)

const (
	// maxAddresses bounds how many addresses one attempt tries.
	maxAddresses = 8
	// avoidTime is how long an address that failed is tried last.
	avoidTime = 5 * time.Minute
	// plainTime is how long a host whose TLS is broken is spared it.
	plainTime = time.Hour
	// maxHosts bounds what is remembered of hosts.
	maxHosts = 8192
)

// errNoAddress: a route without addresses. Routers do not make any.
var errNoAddress = errors.New("route has no address")

// candidate is one address of a host.
type candidate struct {
	host string
	addr netip.AddrPort
}

// connect tries the hosts of the lane in their order, address by address,
// those that failed lately last. Only when all fail does it return an error,
// that of the last.
func (w *worker) connect(ctx context.Context) error {
	s := w.lane.site
	s.mu.Lock()
	r := w.lane.route
	s.mu.Unlock()
	var last error = errNoAddress
	for _, c := range w.engine.hosts.order(r, time.Now()) {
		session, err := w.dial(ctx, r, c)
		if err == nil {
			w.opened(session, c.addr)
			return nil
		}
		last = err
		if ctx.Err() != nil {
			return err
		}
		w.engine.hosts.avoid(c.addr, time.Now())
	}
	return last
}

// dial opens one connection. Where opportunistic TLS fails, it does without
// (RFC 7435 section 3).
func (w *worker) dial(ctx context.Context, r *route.Route, c candidate) (Session, error) {
	o := &w.engine.options
	options := smtpclient.Options{
		LocalName: o.LocalName, LocalAddr: o.LocalIPv4, TLS: o.TLS, TLSConfig: o.TLSConfig, Timeouts: o.Timeouts,
	}
	if c.addr.Addr().Is6() {
		options.LocalAddr = o.LocalIPv6
	}
	if r.Relay != nil {
		options.TLS, options.ImplicitTLS = r.Relay.TLS, r.Relay.ImplicitTLS
		options.Username, options.Password = r.Relay.Username, r.Relay.Password
	}
	opportunistic := options.TLS == mail.TLSOpportunistic && !options.ImplicitTLS
	if opportunistic && w.engine.hosts.plain(c.host, time.Now()) {
		options.TLS = mail.TLSNone
	}
	session, err := o.Dialer.Dial(ctx, c.addr, c.host, options)
	if err != nil && opportunistic && options.TLS != mail.TLSNone && errors.Is(err, smtpclient.ErrHandshake) {
		w.engine.hosts.spareTLS(c.host, time.Now())
		options.TLS = mail.TLSNone
		session, err = o.Dialer.Dial(ctx, c.addr, c.host, options)
	}
	w.engine.metrics.dialled(err)
	return session, err
}

func (w *worker) opened(session Session, addr netip.AddrPort) {
	extensions := session.Extensions()
	first := w.extensions.Swap(&extensions) == nil
	w.session, w.addr, w.sent = session, addr, 0
	w.slot.Establish()
	s := w.lane.site
	s.mu.Lock()
	w.lane.last = failure{}
	s.mu.Unlock()
	if first {
		close(w.connected)
	}
}

// drop closes a connection that is of no more use. One that never carried a
// message makes its address the last to be tried.
func (w *worker) drop() {
	if w.session == nil {
		return
	}
	if w.sent == 0 {
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

// hosts remembers for a while which addresses do not answer and which hosts
// cannot do TLS.
type hosts struct {
	mu      sync.Mutex
	avoided map[netip.AddrPort]time.Time
	spared  map[string]time.Time
}

func newHosts() *hosts {
	return &hosts{avoided: map[netip.AddrPort]time.Time{}, spared: map[string]time.Time{}}
}

// order lists the addresses of a route in the order to try them.
func (h *hosts) order(r *route.Route, now time.Time) []candidate {
	h.mu.Lock()
	defer h.mu.Unlock()
	var first, later []candidate
	for _, host := range r.Hosts {
		for _, addr := range host.Addrs {
			c := candidate{host.Name, addr}
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

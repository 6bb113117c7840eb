package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/mta/source"
	"github.com/postrider-mta/postrider/queue"
)

// Store is what delivery needs of a queue.Store.
type Store interface {
	Ready(ctx context.Context) ([]queue.Key, error)
	Next(ctx context.Context, key queue.Key, limit int) ([]*queue.Delivery, error)
	Body(ctx context.Context, m *queue.Message) ([]byte, error)
	Settle(ctx context.Context, outcomes []queue.Outcome) error
	Defer(ctx context.Context, deferrals []queue.Deferral) error
	Return(deliveries []*queue.Delivery)
}

// Router says how mail for a domain leaves. Its errors are *route.Error.
type Router interface {
	Route(ctx context.Context, domain mail.Domain) (*route.Route, error)
}

// Sources say from where mail leaves; source.Set is one.
type Sources interface {
	// Choose returns where a recipient of a message leaves from. Its errors are
	// *source.Error.
	Choose(now time.Time, r source.Request) (source.Choice, error)
	// Look is Choose for one who is not going to send.
	Look(now time.Time, r source.Request) (source.Choice, error)
	// PoolOf names the pool that a message leaves by.
	PoolOf(tenant, stream, named string) string
	// Suspend keeps a source from being chosen, Connected and Delivered tell
	// that it can be used.
	Suspend(now time.Time, what source.Suspension) time.Time
	Connected(now time.Time, source, site string, over source.Families)
	Delivered(now time.Time, source, site string, over source.Families)
}

var _ Sources = (*source.Set)(nil)

// Dialer opens connections. Its errors are *smtpclient.Error.
type Dialer interface {
	// Dial connects to one address of a host, whose certificate is checked
	// against serverName.
	Dial(ctx context.Context, addr netip.AddrPort, serverName string, o smtpclient.Options) (Session, error)
}

// Session is one connection, as smtpclient.Client is. It is used by one
// goroutine at a time.
type Session interface {
	Extensions() smtpclient.Extensions
	Security() smtpclient.Security
	// Room reports whether Begin takes t now; it does when nothing is under
	// way.
	Room(t *smtpclient.Transaction) bool
	// Begin offers one message. Each that it takes has one Result; the error
	// says that the connection is of no use any more.
	Begin(ctx context.Context, t *smtpclient.Transaction) error
	Results() <-chan smtpclient.Result
	// Window is how many messages a round trip carries at present.
	Window() int
	// OneAtATime reports that the server does not stand several messages under
	// way: the next connection does well not to try.
	OneAtATime() bool
	// Quit says goodbye and closes.
	Quit(ctx context.Context) error
	// Close closes at once. The results of what is under way have come when it
	// returns.
	Close() error
}

// Classifier knows negative replies better than their codes do.
type Classifier interface {
	Classify(reply mail.Reply) bounce.Class
}

var _ Classifier = (*bounce.Classifier)(nil)

// SMTP is the Dialer over the network.
type SMTP struct{}

var (
	_ Dialer  = SMTP{}
	_ Session = (*smtpclient.Client)(nil)
)

// Dial connects by smtpclient.Dial.
func (SMTP) Dial(ctx context.Context, addr netip.AddrPort, serverName string, o smtpclient.Options) (Session, error) {
	client, err := smtpclient.Dial(ctx, addr, serverName, o)
	if err != nil {
		return nil, err // not client: a nil pointer in an interface is no nil
	}
	return client, nil
}

// Handshake is how one connection met what was asked of TLS.
type Handshake struct {
	// From and Domain are those of the message that it was opened for.
	From   mail.Address
	Domain mail.Domain
	// Findings are what policies found wrong before.
	Findings []route.Finding
	Host     route.Host
	Remote   netip.Addr
	// Encrypted says whether there is TLS, Untrusted why the host did not prove
	// who it is; Err why there is no connection.
	Encrypted      bool
	Untrusted, Err error
}

// Options of an Engine. Store, Router, Shaper, Sources, Gate, Renderer and
// Signer must be set; other zero fields get the defaults given.
type Options struct {
	Store  Store
	Router Router
	// Dialer opens connections; SMTP if nil.
	Dialer   Dialer
	Shaper   *shape.Shaper
	Gate     Gate
	Renderer Renderer
	Signer   Signer
	// Notifier tells senders before outcomes are settled; nil for nobody.
	Notifier Notifier
	// Encode7Bit converts a message for a server without 8BITMIME; nil bounces
	// such messages.
	Encode7Bit func(message []byte) ([]byte, error)
	// Classifier overrules the first digit of replies; bounce.New if nil.
	Classifier Classifier
	// Retry spaces attempts: first after 5 minutes, doubling up to 4 hours,
	// varied by 20 percent.
	Retry queue.RetryPolicy

	// Sources say from where mail leaves.
	Sources Sources
	// Divert names the pool that a recipient leaves by whatever its message and
	// its stream say; empty for those. Nil for never.
	Divert func(d *queue.Delivery) string
	// Proxies open the connections of sources, by name, that go through one.
	Proxies func(source string) func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is the least protection towards mail exchangers; a static route has
	// its own.
	TLS mail.TLSFloor
	// Demand says what a queue asks of TLS beside the policies of its domain; nil
	// for TLS as the floor.
	Demand func(key queue.Key) route.Demand
	// Sessions of TLS to resume; NewSessions(4096) if nil.
	Sessions *smtpclient.Sessions
	// Observe is told of each connection that was tried under TLS, or might have
	// been; nil for nobody.
	Observe func(Handshake)
	// TLSConfig is the base of every handshake; may be nil.
	TLSConfig *tls.Config
	Timeouts  smtpclient.Timeouts

	// Weight shares a site's capacity between the streams of all tenants; nil
	// for 4 for transactional and 1 for every other.
	Weight func(tenant, stream string) int
	// MaxRecipients of one transaction; 100.
	MaxRecipients int
	// IdleTimeout closes a connection that nothing waits for; 5 seconds.
	IdleTimeout time.Duration
	// MaxInFlight bounds the recipients leased at once; 20,000. Each
	// connection may hold three beyond it, so that none is ever stuck.
	MaxInFlight int
	// MaxConnections bounds the connections to all sites; 1,000.
	MaxConnections int
	// MaxRouting bounds the domains that are routed at once; 256.
	MaxRouting int
	// BodyCache bounds the octets of message bodies kept for their further
	// recipients; 16 MiB.
	BodyCache int
	// Sweep is how often what waits for a throttled site is looked through for
	// what has expired; 1 minute.
	Sweep time.Duration
	// Drain is how long Run, told to stop, lets transactions come to their
	// end; 30 seconds.
	Drain time.Duration

	// Logger receives what no event tells; slog.Default if nil.
	Logger *slog.Logger
	// Metrics registers the engine's metrics; nil for none.
	Metrics prometheus.Registerer
}

// ErrOptions: an Engine lacks something it cannot do without.
var ErrOptions = errors.New("incomplete delivery options")

func (o *Options) check() error {
	switch {
	case o.Store == nil, o.Router == nil, o.Shaper == nil, o.Sources == nil:
		return fmt.Errorf("%w: store, router, shaper and sources are required", ErrOptions)
	case o.Gate == nil, o.Renderer == nil, o.Signer == nil:
		return fmt.Errorf("%w: gate, renderer and signer are required", ErrOptions)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.Retry.First <= 0 {
		o.Retry = queue.RetryPolicy{First: 5 * time.Minute, Factor: 2, Max: 4 * time.Hour, Jitter: 0.2}
	}
	if o.Dialer == nil {
		o.Dialer = SMTP{}
	}
	if o.Classifier == nil {
		o.Classifier = bounce.New()
	}
	if o.Divert == nil {
		o.Divert = func(*queue.Delivery) string { return "" }
	}
	if o.Proxies == nil {
		o.Proxies = func(string) func(context.Context, string, string) (net.Conn, error) { return nil }
	}
	if o.Demand == nil {
		floor := o.TLS
		o.Demand = func(queue.Key) route.Demand { return route.Demand{Floor: floor} }
	}
	if o.Sessions == nil {
		o.Sessions = smtpclient.NewSessions(4096)
	}
	if o.Weight == nil {
		o.Weight = defaultWeight
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	positive(&o.MaxRecipients, 100)
	positive(&o.MaxInFlight, 20_000)
	positive(&o.MaxConnections, 1_000)
	positive(&o.MaxRouting, 256)
	positive(&o.BodyCache, 16<<20)
	positive(&o.IdleTimeout, 5*time.Second)
	positive(&o.Sweep, time.Minute)
	positive(&o.Drain, 30*time.Second)
	return o
}

func positive[T ~int | ~int64](field *T, otherwise T) {
	if *field <= 0 {
		*field = otherwise
	}
}

func defaultWeight(_, stream string) int {
	if stream == account.Transactional {
		return 4
	}
	return 1
}

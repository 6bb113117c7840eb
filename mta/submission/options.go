package submission

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// Store is where accepted mail goes. queue.Store has what it asks for.
type Store interface {
	// Accept makes the submission durable before it returns nil. It does not
	// keep s.Body.
	Accept(ctx context.Context, s *queue.Submission) error
	// Usage returns what a tenant has waiting. It is asked for each message of
	// a tenant with a quota.
	Usage(tenant string) queue.Usage
}

// ErrOptions is wrapped by every error about Options.
var ErrOptions = errors.New("submission options")

// Options configure a Server. Hostname and Listeners must be given, and Store
// and Accounts, or a Receiver.
type Options struct {
	// Hostname greets clients and signs Received and Message-ID.
	Hostname string
	// Store takes the mail.
	Store Store
	// Accounts say who may send what.
	Accounts account.Directory
	// Listeners are where clients are heard; their names differ.
	Listeners []Listener
	// Receiver takes the mail in place of Store and Accounts; nil for none.
	Receiver Receiver
	// Suppressed says who may not be mailed; nobody is refused if nil.
	Suppressed Suppressed
	// Aligned reports whether mail of a tenant from a domain gets a DKIM
	// signature that aligns with it; none does if nil.
	Aligned func(tenant string, from mail.Domain) bool
	// Limits bound clients; zero fields have defaults.
	Limits Limits
	// MaxAge is how long a message is tried where its stream has no rule;
	// 5 days if zero.
	MaxAge time.Duration
	// Logger receives what an operator should know; discarded if nil.
	Logger *slog.Logger
	// Metrics registers the counters; none are kept public if nil.
	Metrics prometheus.Registerer
	// Now is the clock of messages; time.Now if nil.
	Now func() time.Time
}

// TLSMode says how a listener comes to TLS.
type TLSMode uint8

const (
	// TLSNone offers no TLS.
	TLSNone TLSMode = iota
	// TLSStart offers STARTTLS (RFC 3207), as port 587 does.
	TLSStart
	// TLSImplicit begins with TLS (RFC 8314), as port 465 does.
	TLSImplicit
)

// Listener is one place where clients are heard.
type Listener struct {
	// Name appears in logs and metrics.
	Name string
	// Address is host:port, or unix: and the path of a socket.
	Address string
	// Mode is the permission of a unix socket; 0660 if zero.
	Mode fs.FileMode
	// TLS needs TLSConfig unless it is TLSNone.
	TLS       TLSMode
	TLSConfig *tls.Config
	// TrustedNetworks may submit without AUTH and without TLS, for Tenant. On
	// a unix socket with a Tenant every peer is trusted.
	TrustedNetworks []netip.Prefix
	// Tenant owns what trusted peers submit.
	Tenant string
	// FromDomains bounds the senders of trusted peers, as those of a
	// credential; AnyFrom lifts the bound.
	FromDomains []mail.Domain
	AnyFrom     bool
	// ProxyNetworks must begin with a PROXY header (versions 1 and 2), which
	// names the client. From elsewhere it is no SMTP.
	ProxyNetworks []netip.Prefix
	// RequireAuth asks even trusted peers to log in.
	RequireAuth bool
}

// Limits bound what clients may take. A zero field has the default that its
// comment names.
type Limits struct {
	// Connections at once, over all listeners: 10,000.
	Connections int
	// ConnectionsPerIP at once, over all listeners; an IPv6 /64 counts as one
	// address: 1,000.
	ConnectionsPerIP int
	// Recipients of one message: 1,000.
	Recipients int
	// Messages on one connection: 10,000.
	Messages int
	// MessageSize in octets: 32 MiB.
	MessageSize int64
	// Memory in octets for all messages being received: 256 MiB.
	Memory int64
	// Drain is how many octets of a refused message are read in order to keep
	// the connection: 4 MiB.
	Drain int64
	// CommandErrors are the 5xx replies on one connection, those to recipients
	// aside, until it is closed: 20. An accepted message clears them.
	CommandErrors int
	// AuthFailures on one connection until it is closed: 3.
	AuthFailures int
	// AuthFailuresPerIP within AuthWindow until an address is refused: 30 in
	// 10 minutes.
	AuthFailuresPerIP int
	AuthWindow        time.Duration
	// AuthDelay slows the answer to a failure: 1 second.
	AuthDelay time.Duration
	// AuthWait is how long a login may wait for its turn to be hashed: 5
	// seconds.
	AuthWait time.Duration
	// Hashing is how many passwords are hashed at once: half the processors.
	// It does not change on Reload.
	Hashing int
	// Idle is the longest pause of a client: 5 minutes (RFC 5321 section
	// 4.5.3.2.7).
	Idle time.Duration
	// Session is the longest life of a connection: 1 hour.
	Session time.Duration
	// Handshake bounds the PROXY header and TLS: 20 seconds.
	Handshake time.Duration
	// Write bounds the sending of replies: 1 minute.
	Write time.Duration
}

// maxMessageSize is what go-smtp can count in BDAT and SIZE.
const maxMessageSize = 1 << 31

func (l Limits) withDefaults() Limits {
	return Limits{
		Connections:       cmp.Or(l.Connections, 10_000),
		ConnectionsPerIP:  cmp.Or(l.ConnectionsPerIP, 1_000),
		Recipients:        cmp.Or(l.Recipients, 1_000),
		Messages:          cmp.Or(l.Messages, 10_000),
		MessageSize:       cmp.Or(l.MessageSize, 32<<20),
		Memory:            cmp.Or(l.Memory, 256<<20),
		Drain:             cmp.Or(l.Drain, 4<<20),
		CommandErrors:     cmp.Or(l.CommandErrors, 20),
		AuthFailures:      cmp.Or(l.AuthFailures, 3),
		AuthFailuresPerIP: cmp.Or(l.AuthFailuresPerIP, 30),
		AuthWindow:        cmp.Or(l.AuthWindow, 10*time.Minute),
		AuthDelay:         cmp.Or(l.AuthDelay, time.Second),
		AuthWait:          cmp.Or(l.AuthWait, 5*time.Second),
		Hashing:           cmp.Or(l.Hashing, max(1, runtime.GOMAXPROCS(0)/2)),
		Idle:              cmp.Or(l.Idle, 5*time.Minute),
		Session:           cmp.Or(l.Session, time.Hour),
		Handshake:         cmp.Or(l.Handshake, 20*time.Second),
		Write:             cmp.Or(l.Write, time.Minute),
	}
}

func (l Limits) check() error {
	for name, n := range map[string]int64{
		"Connections": int64(l.Connections), "ConnectionsPerIP": int64(l.ConnectionsPerIP),
		"Recipients": int64(l.Recipients), "Messages": int64(l.Messages),
		"MessageSize": l.MessageSize, "Memory": l.Memory, "Drain": l.Drain,
		"CommandErrors": int64(l.CommandErrors), "AuthFailures": int64(l.AuthFailures),
		"AuthFailuresPerIP": int64(l.AuthFailuresPerIP), "AuthWindow": int64(l.AuthWindow),
		"AuthDelay": int64(l.AuthDelay), "AuthWait": int64(l.AuthWait), "Hashing": int64(l.Hashing),
		"Idle": int64(l.Idle), "Session": int64(l.Session),
		"Handshake": int64(l.Handshake), "Write": int64(l.Write),
	} {
		if n < 0 {
			return fmt.Errorf("%w: limit %s is negative", ErrOptions, name)
		}
	}
	if l.MessageSize > maxMessageSize {
		return fmt.Errorf("%w: message size above 2 GiB", ErrOptions)
	}
	return nil
}

func (o Options) check() error {
	if _, err := mail.ParseDomain(o.Hostname); err != nil {
		return fmt.Errorf("%w: host name: %w", ErrOptions, err)
	}
	if o.Receiver == nil && (o.Store == nil || o.Accounts == nil) {
		return fmt.Errorf("%w: store and accounts must be given, or a receiver", ErrOptions)
	}
	if o.MaxAge < 0 {
		return fmt.Errorf("%w: maximum age is negative", ErrOptions)
	}
	names := make(map[string]bool)
	for _, l := range o.Listeners {
		if names[l.Name] {
			return fmt.Errorf("%w: two listeners named %q", ErrOptions, l.Name)
		}
		names[l.Name] = true
		if err := l.check(o.Accounts); err != nil {
			return fmt.Errorf("%w: listener %q: %w", ErrOptions, l.Name, err)
		}
	}
	return o.Limits.check()
}

func (l Listener) check(accounts account.Directory) error {
	if accounts == nil && l.Tenant != "" {
		return errors.New("a receiver's listener has no tenant")
	}
	if l.TLS > TLSImplicit {
		return errors.New("unknown TLS mode")
	}
	if l.TLS != TLSNone && l.TLSConfig == nil {
		return errors.New("TLS without a certificate")
	}
	if l.Tenant == "" {
		if len(l.TrustedNetworks) > 0 || l.AnyFrom || len(l.FromDomains) > 0 {
			return errors.New("trusted peers need a tenant")
		}
		return nil
	}
	if _, ok := accounts.Tenant(l.Tenant); !ok {
		return fmt.Errorf("no tenant %q", l.Tenant)
	}
	return nil
}

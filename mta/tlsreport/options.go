package tlsreport

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	random "math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Options of a Reporter. Organization, From, Lookup and Submit must be set;
// other zero fields get the defaults given.
type Options struct {
	// Organization is who reports, in the report.
	Organization string
	// From sends the reports by mail; its domain must sign them with DKIM.
	From mail.Address
	// Contact is whom the report's reader may write to; From if zero.
	Contact mail.Address

	// Lookup returns the TXT records of a name, each with its strings joined;
	// none and no error where there are none. An error is tried again.
	Lookup func(ctx context.Context, name string) ([]string, error)
	// Submit takes responsibility for a message, header and body with CRLF line
	// ends. It is to be signed, to be sent whatever the policies of the
	// recipient's domain (its header says TLS-Required: No), and not to be
	// counted in a report itself.
	Submit func(ctx context.Context, from, to mail.Address, message []byte) error
	// Post sends a gzipped report to an HTTPS endpoint; nil for doing so.
	Post func(ctx context.Context, endpoint string, report []byte) error
	// Inside lets endpoints be on loopback and in private networks.
	Inside bool
	// TLSConfig is the base for HTTPS; may be nil.
	TLSConfig *tls.Config

	// Path of the file that keeps what was counted; empty keeps it in memory
	// only.
	Path string
	// MaxDomains bounds the domains counted in a day, and the reports that
	// wait; 20,000 each.
	MaxDomains int
	// MaxMemory bounds what is kept in octets, about; 64 MiB.
	MaxMemory int
	// Spread is the time after the end of a day over which its reports are
	// sent; 4 hours.
	Spread time.Duration
	// Retry is the first pause after a failure, doubled by each further one up
	// to 4 hours; 15 minutes.
	Retry time.Duration
	// GiveUp is how long after the first attempt a report is still tried; 1 day.
	GiveUp time.Duration
	// Save is how often counts are written to Path; 5 minutes. A crash loses
	// what was counted since.
	Save time.Duration
	// Parallel is how many reports are sent at once; 4.
	Parallel int

	// Random returns numbers in [0, 1) for delays; math/rand/v2 if nil.
	Random func() float64
	// Unique returns what tells reports of the same day apart, of letters and
	// digits; 16 random ones if nil.
	Unique func() string
	// Logger receives what failed for good; slog.Default if nil.
	Logger *slog.Logger
	// Metrics registers the reporter's metrics; nil for none.
	Metrics prometheus.Registerer
}

// ErrOptions: a Reporter lacks something it cannot do without.
var ErrOptions = errors.New("incomplete TLS report options")

func (o *Options) check() error {
	switch {
	case o.Organization == "":
		return fmt.Errorf("%w: an organization is required", ErrOptions)
	case o.From.Domain() == "" || !o.From.ASCII() || !o.Contact.ASCII():
		return fmt.Errorf("%w: ASCII addresses are required", ErrOptions)
	case o.Lookup == nil || o.Submit == nil:
		return fmt.Errorf("%w: lookup and submit are required", ErrOptions)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.Contact.Domain() == "" {
		o.Contact = o.From
	}
	if o.Post == nil {
		o.Post = newPoster(o.Inside, o.TLSConfig).post
	}
	positive(&o.MaxDomains, 20_000)
	positive(&o.MaxMemory, 64<<20)
	positive(&o.Spread, 4*time.Hour)
	positive(&o.Retry, 15*time.Minute)
	positive(&o.GiveUp, 24*time.Hour)
	positive(&o.Save, 5*time.Minute)
	positive(&o.Parallel, 4)
	if o.Random == nil {
		o.Random = random.Float64
	}
	if o.Unique == nil {
		o.Unique = unique
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func positive[T ~int | ~int64](field *T, otherwise T) {
	if *field <= 0 {
		*field = otherwise
	}
}

func unique() string {
	var octets [8]byte
	_, _ = rand.Read(octets[:]) // it never fails
	return hex.EncodeToString(octets[:])
}

package daemon

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/delivery"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/rewrite"
	"github.com/postrider-mta/postrider/tracking/selftest"
	"github.com/postrider-mta/postrider/tracking/token"
)

// renderer puts into a message what its tenant, its stream and the message
// itself ask for.
type renderer struct {
	accounts account.Directory
	// readers know what each reader allows; nil where nobody is asked.
	readers  readers
	keys     *token.Keyring
	logger   *slog.Logger
	failures *prometheus.CounterVec
	// domains say which tracking URLs may be used; nil for all.
	domains *selftest.Domains
	// unsubscribeAddress is where a recipient may write to leave the stream,
	// zero for none; nil where nobody may.
	unsubscribeAddress func(*queue.Delivery) (mail.Address, error)
}

var _ delivery.Renderer = (*renderer)(nil)

func newRenderer(accounts account.Directory, keys *token.Keyring, logger *slog.Logger, metrics prometheus.Registerer) (*renderer, error) {
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postrider_render_failures_total",
		Help: "Messages that went out without what should have been put into them, by reason.",
	}, []string{"reason"})
	if err := metrics.Register(failures); err != nil {
		return nil, err
	}
	return &renderer{accounts: accounts, keys: keys, logger: logger, failures: failures}, nil
}

// wishes are what is to be put into a message.
type wishes struct {
	base  string
	track account.Track
	// measure is what may be kept of what track asks for.
	measure     account.Measure
	unsubscribe bool
	// person is the reader's name in tokens; the zero one where there is none.
	person token.Person
	// utm and utmHosts are for everybody alike.
	utm      account.UTM
	utmHosts []mail.Domain
}

// personal wishes make each recipient's message another one.
func (w wishes) personal() bool {
	return w.base != "" && (w.measured() || w.unsubscribe)
}

// wishes fails closed: a tenant or a stream that is gone measures nobody.
func (r *renderer) wishes(m *queue.Message) wishes {
	tenant, ok := r.accounts.Tenant(m.Tenant)
	if !ok {
		return wishes{}
	}
	stream, ok := tenant.Streams[m.Stream]
	if !ok {
		return wishes{}
	}
	w := wishes{
		base: tenant.TrackingURL, track: m.Track, unsubscribe: stream.Unsubscribe, utmHosts: stream.UTMHosts,
		measure: tenant.Measure.Within(stream.Measure).Within(m.Measure),
	}
	if m.UTM == "" {
		return w
	}
	utm, err := account.ParseUTM(m.UTM)
	if err != nil { // it was checked when the message came
		r.failures.WithLabelValues("utm").Inc()
	}
	w.utm = utm
	return w
}

// Shared implements delivery.Renderer.
func (r *renderer) Shared(m *queue.Message) bool {
	w := r.wishes(m)
	return !w.personal() || r.domains != nil && !r.domains.Given(w.base)
}

// Render implements delivery.Renderer. Whatever goes wrong, the message goes
// out as it was handed in, and is counted.
func (r *renderer) Render(ctx context.Context, d *queue.Delivery, body []byte) (delivery.Rendered, error) {
	wishes := r.answered(ctx, r.heed(r.wishes(d.Message), d))
	if !wishes.personal() && len(wishes.utm) == 0 {
		return delivery.Rendered{Message: body}, nil
	}
	return delivery.Rendered{Message: r.put(d, body, wishes), Personal: wishes.personal()}, nil
}

// answered takes out of the wishes what would lead to a tracking domain that
// does not answer: links, pixel and List-Unsubscribe alike. A link that is dead
// is worse than none.
func (r *renderer) answered(ctx context.Context, w wishes) wishes {
	if !w.personal() || r.domains == nil || r.domains.Usable(ctx, w.base) {
		return w
	}
	r.domains.Withheld(w.base)
	w.base = ""
	return w
}

func (r *renderer) put(d *queue.Delivery, body []byte, wishes wishes) []byte {
	options, err := wishes.options(d, r.keys)
	if err != nil {
		return r.untouched(d, body, "url", err)
	}
	if r.unsubscribeAddress != nil {
		if options.UnsubscribeAddress, err = r.unsubscribeAddress(d); err != nil {
			return r.untouched(d, body, "unsubscribe_address", err)
		}
	}
	out, rendered, err := tracking.Render(body, options)
	if err != nil {
		return r.untouched(d, body, "options", err)
	}
	if rendered.Untouched != nil {
		return r.untouched(d, out, rewrite.Reason(rendered.Untouched), rendered.Untouched)
	}
	return out
}

func (r *renderer) untouched(d *queue.Delivery, message []byte, reason string, err error) []byte {
	r.failures.WithLabelValues(reason).Inc()
	r.logger.Debug("message goes out without tracking", "message", d.Message.ID, "reason", reason, "error", err)
	return message
}

// options are the wishes for one recipient.
func (w wishes) options(d *queue.Delivery, keys *token.Keyring) (tracking.RenderOptions, error) {
	o := tracking.RenderOptions{
		Message: d.Message.ID, Index: uint32(d.Index),
		Tenant: d.Message.Tenant, Stream: d.Message.Stream, Address: d.Recipient.Address,
		UTM: w.utm, UTMHosts: w.utmHosts,
	}
	if !w.personal() {
		return o, nil
	}
	w.measuring(&o, d.Message.Campaign)
	o.Unsubscribe = w.unsubscribe
	var err error
	o.Links, err = tracking.NewLinks(w.base, keys)
	return o, err
}

package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce/verp"
	"github.com/postrider-mta/postrider/mta/submission"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/rewrite"
	"github.com/postrider-mta/postrider/tracking/token"
)

// DryRunOptions say what to render and for whom.
type DryRunOptions struct {
	// Tenant may be left out where there is only one, or with a Credential.
	Tenant string
	// Stream is chosen as it would be of a message that names none, if empty.
	Stream string
	// Credential is the login name whose vendor headers are understood.
	Credential string
	// Recipient is the reader's address.
	Recipient string
	// Message is header and content, as it would be handed in.
	Message []byte
}

// DryRun is what would be done to a message, short of its signature.
type DryRun struct {
	// Message is what would be sent.
	Message  []byte `json:"-"`
	Tenant   string `json:"tenant"`
	Stream   string `json:"stream"`
	Campaign string `json:"campaign,omitempty"`
	// Tracker is the public base of the tracker; empty where there is none.
	Tracker string `json:"tracker,omitempty"`
	// Track is what is measured, in words; UTM the parameters of links.
	Track string `json:"track"`
	// Measure is what may be kept of it, short of what the reader allows.
	Measure string `json:"measure"`
	UTM     string `json:"utm,omitempty"`
	// Submitted and Sent are sizes in octets; the first is of the message as it
	// was accepted, with its new header fields.
	Submitted int          `json:"submitted_octets"`
	Sent      int          `json:"sent_octets"`
	Links     []DryRunLink `json:"links"`
	Replaced  int          `json:"links_replaced"`
	Extended  int          `json:"links_with_parameters"`
	// Pixel and Unsubscribe are the URLs that were added; empty for none. The
	// latter is a mailto: where there is no tracker.
	Pixel       string `json:"pixel,omitempty"`
	Unsubscribe string `json:"unsubscribe,omitempty"`
	// ReturnPath is the MAIL FROM that bounces would come back to; empty for
	// that of the submission.
	ReturnPath string `json:"return_path,omitempty"`
	// Skipped says why HTML parts were left alone.
	Skipped []rewrite.Skip `json:"skipped"`
	// Untouched is why nothing was rewritten although it was asked for.
	Untouched string `json:"untouched,omitempty"`
	// Note is why nothing was asked for.
	Note string `json:"note,omitempty"`
}

// DryRunLink is one link of the message.
type DryRunLink struct {
	URL string `json:"url"`
	// Replacement is empty where the link stays what it is.
	Replacement string `json:"replacement,omitempty"`
	// Kept is why it was left alone.
	Kept rewrite.Keep `json:"kept,omitempty"`
	// Part is html or text.
	Part string `json:"part"`
}

// kept takes the one message that is accepted.
type kept struct{ submission *queue.Submission }

func (k *kept) Accept(_ context.Context, s *queue.Submission) error {
	// The store does not keep the body, and this one does.
	accepted := *s
	accepted.Body = append([]byte(nil), s.Body...)
	k.submission = &accepted
	return nil
}

func (k *kept) Usage(string) queue.Usage { return queue.Usage{} }

// dryAccounts are those of a configuration file, whether a daemon runs or not.
func dryAccounts(c *config.Config) (*accounts, error) {
	snapshot, err := readAccounts(c)
	if err != nil {
		return nil, err
	}
	directory := &accounts{}
	directory.current.Store(snapshot)
	return directory, nil
}

// RunDry takes a message as submission does and renders it as delivery does,
// with the keys and the tracker of the configuration file. Nothing is sent or
// stored, and the links in it lead where they should and record nothing: they
// belong to a message that is too old.
func RunDry(ctx context.Context, configFile string, o DryRunOptions) (*DryRun, error) {
	c, err := config.Load(configFile)
	if err != nil {
		return nil, err
	}
	directory, err := dryAccounts(c)
	if err != nil {
		return nil, err
	}
	submitted, err := o.submit(ctx, c, directory)
	if err != nil {
		return nil, err
	}
	submitted.Message.ID = queue.ID{}
	if submitted.Message.Envelope.From, err = mail.ParseAddress("sender@" + string(submitted.Message.HeaderFrom)); err != nil {
		return nil, fmt.Errorf("the domain of From: %w", err)
	}
	return render(c, directory, submitted)
}

// injection is the message as a client would hand it in.
func (o DryRunOptions) injection(c *config.Config, directory *accounts) (none submission.Injection, err error) {
	reader, err := mail.ParseAddress(o.Recipient)
	if err != nil {
		return none, fmt.Errorf("recipient: %w", err)
	}
	injection := submission.Injection{Tenant: o.Tenant, Recipients: []mail.Recipient{{Address: reader}}, Message: o.Message, Protocol: "local"}
	if o.Stream != "" {
		injection.Message = append([]byte("X-Postrider-Stream: "+o.Stream+"\r\n"), o.Message...)
	}
	if o.Credential != "" {
		credential, ok := directory.Credential(o.Credential)
		if !ok {
			return none, fmt.Errorf("the configuration has no credential %q", o.Credential)
		}
		if o.Tenant != "" && o.Tenant != credential.Tenant {
			return none, fmt.Errorf("credential %s belongs to tenant %s, not to %s", o.Credential, credential.Tenant, o.Tenant)
		}
		injection.Tenant, injection.VendorHeaders = credential.Tenant, credential.VendorHeaders
	}
	if injection.Tenant == "" {
		if len(c.Tenants) > 1 {
			return none, errors.New("the configuration has several tenants: name one with --tenant, or a --credential")
		}
		injection.Tenant = c.Tenants[0].Name
	}
	return injection, nil
}

// submit returns the message as the queue would have it.
func (o DryRunOptions) submit(ctx context.Context, c *config.Config, directory *accounts) (*queue.Submission, error) {
	injection, err := o.injection(c, directory)
	if err != nil {
		return nil, err
	}
	keys, err := drySigner(c, directory)
	if err != nil {
		return nil, err
	}
	store := &kept{}
	server, err := submission.New(submission.Options{
		Hostname: c.Hostname, Store: store, Accounts: directory, Limits: submissionLimits(c), MaxAge: c.Queue.MaxAge, Aligned: keys.aligns,
	})
	if err != nil {
		return nil, err
	}
	_, err = server.Inject(ctx, injection)
	return store.submission, errors.Join(err, server.Shutdown(ctx))
}

// render does what delivery would do, and notes it.
func render(c *config.Config, directory *accounts, s *queue.Submission) (*DryRun, error) {
	m := &s.Message
	run := &DryRun{
		Message: s.Body, Tenant: m.Tenant, Stream: m.Stream, Campaign: m.Campaign, UTM: m.UTM, Track: m.Track.String(),
		Submitted: len(s.Body), Sent: len(s.Body), Links: []DryRunLink{}, Skipped: []rewrite.Skip{},
	}
	r, err := newRenderer(directory, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	w := r.wishes(m)
	back := &returning{accounts: directory, sender: func() string { return c.Bounces.FeedbackSender }}
	p := back.plan(m)
	run.Measure = w.measure.String()
	w.person = token.Person{1} // stands for the reader's, so that links have their length
	run.Tracker = w.base
	switch {
	case w.base == "" && (w.measured() || w.unsubscribe):
		run.Note = "the tenant has no tracking URL: nothing is measured"
		if w.unsubscribe && !p.unsubscribe {
			run.Note += " and no List-Unsubscribe added"
		}
	case !w.personal() && len(w.utm) == 0:
		run.Note = "nothing is measured in this stream, and the message does not ask for it"
	}
	var keys *token.Keyring
	if w.personal() || p.personal() {
		if keys, err = trackingKeys(c); err != nil {
			return nil, err
		}
		back.codec = verp.New(returnKeys{keys})
	}
	d := &queue.Delivery{Message: m, Recipient: s.Recipients[0]}
	if w.personal() || len(w.utm) > 0 {
		options, err := w.options(d, keys)
		if err != nil {
			return nil, err
		}
		if w.personal() {
			if options.UnsubscribeAddress, err = back.unsubscribeAddress(d); err != nil {
				return nil, err
			}
		}
		if err := run.render(options); err != nil {
			return nil, err
		}
	}
	return run, run.comeBack(back, d, p, w.personal() || p.personal())
}

// comeBack adds what a message is known by when it, or word of it, comes back.
func (r *DryRun) comeBack(back *returning, d *queue.Delivery, p plan, personal bool) error {
	if p.domain == "" {
		return nil
	}
	if p.verp {
		address, err := back.codec.Address(verp.Bounce, returnID(d), p.domain)
		if err != nil {
			return err
		}
		r.ReturnPath = address.String()
	}
	fields, err := back.fields(d, p, r.Message, personal)
	if err == nil {
		r.Message, err = rewrite.AddHeaders(r.Message, fields)
	}
	if err != nil { // it goes out without
		r.Untouched = cmp.Or(r.Untouched, err.Error())
		return nil
	}
	r.Sent = len(r.Message)
	if r.Unsubscribe == "" && strings.Contains(string(fields), "List-Unsubscribe:") {
		to, err := back.unsubscribeAddress(d)
		if err != nil {
			return err
		}
		r.Unsubscribe = "mailto:" + to.String()
	}
	return nil
}

func (r *DryRun) render(options tracking.RenderOptions) error {
	options.Report = func(l rewrite.Link) {
		part := "html"
		if l.Text {
			part = "text"
		}
		r.Links = append(r.Links, DryRunLink{l.URL, l.Replacement, l.Kept, part})
	}
	out, rendered, err := tracking.Render(r.Message, options)
	if err != nil {
		return err
	}
	r.Message, r.Sent = out, len(out)
	r.Replaced, r.Extended = rendered.Links, rendered.Extended
	r.Skipped = append(r.Skipped, rendered.Skipped...)
	if rendered.Untouched != nil {
		r.Untouched = rendered.Untouched.Error()
		r.Links = []DryRunLink{}
	}
	if rendered.Pixel {
		if r.Pixel, err = options.PixelURL(); err != nil {
			return err
		}
	}
	if rendered.Unsubscribe {
		r.Unsubscribe, err = options.Links.UnsubscribeURL(options.Message, options.Index, options.Tenant, options.Stream, options.Address)
	}
	return err
}

// trackingKeys reads the key file and, unlike the daemon, makes none.
func trackingKeys(c *config.Config) (*token.Keyring, error) {
	secret, err := config.SecretFile(c.Tracking.Keys).Read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no keys yet: the daemon makes %s when it starts first, and so does postrider tracking rotate", c.Tracking.Keys)
	}
	if err != nil {
		return nil, err
	}
	ring, err := token.ParseKeyFile([]byte(secret.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Tracking.Keys, err)
	}
	return ring, nil
}

package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/mimetree"
	"github.com/postrider-mta/postrider/mta/bounce/verp"
	"github.com/postrider-mta/postrider/mta/delivery"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/tracking/rewrite"
	"github.com/postrider-mta/postrider/tracking/token"
)

// returnKeys are the keys of the links, which derive others for what comes back
// by mail.
type returnKeys struct{ *token.Keyring }

var _ verp.Authenticator = returnKeys{}

// Active implements verp.Authenticator.
func (k returnKeys) Active() uint8 { return uint8(k.Keyring.Active()) }

// MAC implements verp.Authenticator.
func (k returnKeys) MAC(id uint8, data []byte) ([]byte, bool) {
	return k.Keyring.MAC(token.ID(id), data)
}

// returning is a Renderer that adds to what another one makes by what it will be
// known when it comes back: a return path for each recipient, and header fields
// for complaints.
type returning struct {
	delivery.Renderer
	accounts account.Directory
	codec    *verp.Codec
	// sender is the last part of Feedback-ID.
	sender   func() string
	logger   *slog.Logger
	failures *prometheus.CounterVec
}

var _ delivery.Renderer = (*returning)(nil)

// plan is what is added to a message.
type plan struct {
	// domain is where things come back to; empty where nothing does.
	domain mail.Domain
	// verp asks for a return path for each recipient.
	verp bool
	// unsubscribe: mail is a way to leave the stream, and the one way where there
	// is no tracker, or none that answers.
	unsubscribe bool
}

// plan leaves mail from the null sender alone: nothing may come back for it.
func (r *returning) plan(m *queue.Message) plan {
	tenant, ok := r.accounts.Tenant(m.Tenant)
	stream, known := tenant.Streams[m.Stream]
	if !ok || !known || m.Envelope.From.IsZero() {
		return plan{}
	}
	return plan{
		domain: tenant.BounceDomain, verp: stream.VERP && tenant.BounceDomain != "",
		unsubscribe: stream.Unsubscribe && tenant.BounceDomain != "",
	}
}

func (p plan) personal() bool { return p.verp || p.unsubscribe }

// Shared implements delivery.Renderer.
func (r *returning) Shared(m *queue.Message) bool {
	return !r.plan(m).personal() && r.Renderer.Shared(m)
}

// Render implements delivery.Renderer. A message that nothing can be added to
// goes out without, and is counted.
func (r *returning) Render(ctx context.Context, d *queue.Delivery, body []byte) (delivery.Rendered, error) {
	rendered, err := r.Renderer.Render(ctx, d, body)
	p := r.plan(d.Message)
	if err != nil || p.domain == "" {
		return rendered, err
	}
	rendered.Personal = rendered.Personal || p.personal()
	if p.verp {
		if rendered.ReturnPath, err = r.codec.Address(verp.Bounce, returnID(d), p.domain); err != nil {
			r.failed(d, "return_path", err)
		}
	}
	fields, err := r.fields(d, p, rendered.Message, rendered.Personal)
	if err == nil && len(fields) > 0 {
		rendered.Message, err = rewrite.AddHeaders(rendered.Message, fields)
	}
	if err != nil {
		r.failed(d, "feedback", err)
	}
	return rendered, nil
}

func (r *returning) failed(d *queue.Delivery, reason string, err error) {
	r.failures.WithLabelValues(reason).Inc()
	r.logger.Debug("message goes out without what brings it back", "message", d.Message.ID, "reason", reason, "error", err)
}

// fields are those that the author did not set: Feedback-ID, and where the
// message is for one recipient alone, those of RFC 9477 and what else names them.
func (r *returning) fields(d *queue.Delivery, p plan, message []byte, personal bool) ([]byte, error) {
	header, err := mimetree.ParseHeader(message)
	if err != nil {
		return nil, err
	}
	has := func(name string) bool { return len(header.Find(name)) > 0 }
	var b strings.Builder
	if !has(verp.FeedbackIDField) {
		id := verp.FeedbackID{Campaign: d.Message.Campaign, Stream: d.Message.Stream, Tenant: d.Message.Tenant, Sender: r.sender()}
		fmt.Fprintf(&b, "%s: %s\r\n", verp.FeedbackIDField, id)
	}
	if personal && !has(verp.CFBLAddressField) && !has(verp.CFBLFeedbackIDField) {
		to, err := r.codec.Address(verp.Complaint, returnID(d), p.domain)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s:\r\n %s\r\n%s: %s\r\n", verp.CFBLAddressField, verp.CFBLAddress(to), verp.CFBLFeedbackIDField, to.Local())
	}
	if p.unsubscribe && !has("List-Unsubscribe") && !has("List-Unsubscribe-Post") {
		to, err := r.unsubscribeAddress(d)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "List-Unsubscribe:\r\n <mailto:%s?subject=unsubscribe>\r\n", to)
	}
	return []byte(b.String()), nil
}

// unsubscribeAddress is where a recipient may write to leave the stream; zero
// where nothing comes back.
func (r *returning) unsubscribeAddress(d *queue.Delivery) (mail.Address, error) {
	p := r.plan(d.Message)
	if p.domain == "" {
		return mail.Address{}, nil
	}
	return r.codec.Address(verp.Unsubscribe, returnID(d), p.domain)
}

func returnID(d *queue.Delivery) verp.ID {
	return verp.ID{Message: d.Message.ID, Index: uint32(d.Index), Tenant: verp.TenantNumber(d.Message.Tenant)}
}

// feedbackSender is that of the last reload.
func (d *daemon) feedbackSender() string { return d.config.Load().Bounces.FeedbackSender }
